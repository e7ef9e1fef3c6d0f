//! Orphaned claims: the Workspace that they were made for is gone. A safety net under `deletion.rs`: a Workspace whose
//! finalizer was stripped deletes nothing.
//!
//! It must never touch a claim that this controller did not make.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kaito_api::{Claim, ClaimKind, event_reasons, labels, names};
use plan::{Event, Plan};

use crate::build;
use crate::claims;
use crate::metadata::{is_live, label};
use crate::price;
use crate::settings::Settings;

/// Time that this process must have seen a claim without its Workspace. A cache shows a new Workspace by then.
const SEEN_FOR: Duration = Duration::from_mins(2);
/// Most deletions in [`BRAKE_WINDOW`], so that a mistake stays small.
const MAX_DELETIONS: usize = 5;
/// Time over which deletions are counted.
const BRAKE_WINDOW: Duration = Duration::from_mins(1);

/// The Workspace that a claim was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimOwner<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
}

impl<'a> ClaimOwner<'a> {
    /// Returns the owner of a live claim that this controller made. `None` for every other claim.
    ///
    /// The name of a claim is a digest of its owner and its ordinal, so labels alone prove nothing.
    #[must_use]
    pub fn of(claim: &'a Claim) -> Option<Self> {
        let metadata = claim.metadata();
        let is_marked = match claim.claim_kind() {
            ClaimKind::Machine => label(metadata, labels::MANAGED_BY) == Some(labels::WORKSPACE_CONTROLLER),
            ClaimKind::NodeClaim => claims::recorded_nodes(claim).is_some(),
        };
        let owner = Self {
            namespace: label(metadata, labels::WORKSPACE_NAMESPACE)?,
            name: label(metadata, labels::WORKSPACE)?,
            uid: label(metadata, labels::WORKSPACE_UID)?,
        };
        let ordinal = label(metadata, labels::ORDINAL)?.parse().ok()?;
        let is_ours =
            is_marked && claim.name() == names::claim(owner.namespace, owner.name, owner.uid, ordinal);
        (is_ours && is_live(metadata)).then_some(owner)
    }
}

/// A claim and what is known about the existence of its Workspace.
#[derive(Clone, Debug)]
pub struct ObservedClaim {
    /// The claim.
    pub claim: Claim,
    /// The Workspace, as far as it was looked for.
    pub ownership: Ownership,
}

/// Existence of the Workspace that a claim was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The claim is not ours, or its Workspace exists.
    Owned,
    /// The cache shows no Workspace of that UID, for this long.
    Unseen(Duration),
    /// The API server has the Workspace, so the cache lags.
    Lagging,
    /// The API server has no Workspace of that UID, and so many claims were deleted that this one waits.
    Braked(Duration),
    /// The API server has no Workspace of that UID.
    Orphaned,
}

/// Plans for one claim.
#[must_use]
pub fn plan_claim(observed: &ObservedClaim, settings: &Settings) -> Plan {
    let claim = &observed.claim;
    let mut plan = Plan::default();
    match observed.ownership {
        Ownership::Owned => {}
        Ownership::Unseen(time) => plan.requeue = Some(SEEN_FOR.saturating_sub(time).max(SOON)),
        Ownership::Lagging => plan.requeue = Some(SEEN_FOR),
        Ownership::Braked(time) => {
            plan.add_reason("orphaned_claim_waits", claim.name());
            plan.requeue = Some(time.max(SOON));
        }
        Ownership::Orphaned => {
            let message = message(claim, settings);
            plan.add_reason("orphaned_claim", &message);
            plan.writes = vec![build::delete_claim(claim)];
            plan.events = vec![Event::warning(event_reasons::ORPHANED_CLAIM_DELETED, message)];
        }
    }
    plan
}

/// Shortest pause, so that rounding never causes a busy loop.
const SOON: Duration = Duration::from_secs(1);

fn message(claim: &Claim, settings: &Settings) -> String {
    let metadata = claim.metadata();
    let owner = |key| label(metadata, key).unwrap_or_default();
    let price = price::of_claim(settings, claim).map_or_else(|| "an unknown price".to_owned(), price::shown);
    format!(
        "{} {} was made for Workspace {}/{}, which is gone. It is deleted. Its node, {}, costs {price}.",
        claim.claim_kind().as_str(),
        claim.name(),
        owner(labels::WORKSPACE_NAMESPACE),
        owner(labels::WORKSPACE),
        claim.instance_type().unwrap_or("of an unknown instance type"),
    )
}

/// Claims without a Workspace, and recent deletions. Times are measured from any fixed instant. A restart forgets them,
/// which costs a wait.
#[derive(Clone, Debug, Default)]
pub struct OrphanMemory {
    /// By kind and name of the claim: its UID, and the time since when its Workspace is missing.
    missing: BTreeMap<(&'static str, String), (String, Duration)>,
    /// Times of recent deletions.
    deletions: VecDeque<Duration>,
}

impl OrphanMemory {
    /// Records whether the cache shows the Workspace of a claim. `None` if the API server must be asked now.
    #[must_use]
    pub fn record(&mut self, claim: &Claim, exists: bool, now: Duration) -> Option<Ownership> {
        let key = (claim.claim_kind().as_str(), claim.name().to_owned());
        if exists {
            self.missing.remove(&key);
            return Some(Ownership::Owned);
        }
        let new = || (claim.uid().to_owned(), now);
        let (uid, since) = self.missing.entry(key).or_insert_with(new);
        if uid != claim.uid() {
            (*uid, *since) = new();
        }
        let time = now.saturating_sub(*since);
        (time < SEEN_FOR).then_some(Ownership::Unseen(time))
    }

    /// Records the API server's answer about the Workspace of a claim.
    #[must_use]
    pub fn confirm(&mut self, claim: &Claim, exists: bool, now: Duration) -> Ownership {
        if exists {
            self.forget(claim.claim_kind(), claim.name());
            return Ownership::Lagging;
        }
        self.deletions.retain(|at| now.saturating_sub(*at) < BRAKE_WINDOW);
        match self.deletions.front() {
            Some(first) if self.deletions.len() >= MAX_DELETIONS => {
                Ownership::Braked(BRAKE_WINDOW.saturating_sub(now.saturating_sub(*first)))
            }
            _ => {
                self.deletions.push_back(now);
                Ownership::Orphaned
            }
        }
    }

    /// Drops everything known about a claim.
    pub fn forget(&mut self, kind: ClaimKind, name: &str) {
        self.missing.remove(&(kind.as_str(), name.to_owned()));
    }
}

#[cfg(test)]
mod tests;

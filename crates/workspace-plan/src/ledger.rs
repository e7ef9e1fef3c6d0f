//! The ledger of nodes: the nodes that each namespace has, and those that were granted to its Workspaces.
//!
//! A Workspace creates claims only after a grant, and the ledger is asked by one reconcile at a time. So concurrent
//! reconciles never exceed a ceiling together. Claims that the caches show count until they are gone. A grant counts for
//! claims that the caches do not show yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kaito_api::Claim;

use crate::ceiling::{CeilingRefusal, Cost, refuse};
use crate::price;
use crate::settings::Settings;

/// Time for which a grant still counts that is not needed any more: a claim may be on its way into the caches.
const HOLD: Duration = Duration::from_mins(1);

/// A request for the nodes of one Workspace: all that it needs, whether they exist or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    /// Namespace of the Workspace.
    pub namespace: String,
    /// Name of the Workspace.
    pub workspace: String,
    /// Names of its claims.
    pub claims: Vec<String>,
    /// Instance type of its nodes.
    pub instance_type: String,
    /// List price of one node in millionths of a US dollar per hour; `None` if it is unknown.
    pub usd_micros_each: Option<u64>,
}

/// Answer to a [`GrantRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// The claims may be created.
    #[default]
    Granted,
    /// Claims that do not exist may not be created.
    Refused(CeilingRefusal),
}

/// A Workspace to reconcile again, since room appeared for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Namespace of the Workspace.
    pub namespace: String,
    /// Name of the Workspace.
    pub workspace: String,
    /// Time until the room appears.
    pub after: Duration,
}

/// Grants by namespace. Times are measured from any fixed instant. A restart forgets them: claims that exist count anyway.
#[derive(Clone, Debug, Default)]
pub struct SpendLedger {
    accounts: BTreeMap<String, Account>,
}

/// Grants of one namespace.
#[derive(Clone, Debug, Default)]
struct Account {
    /// By Workspace.
    grants: BTreeMap<String, Granted>,
    /// Grants that are not needed any more.
    held: Vec<Held>,
    /// Workspaces that were refused.
    waiting: BTreeSet<String>,
}

/// The granted claims of one Workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Granted {
    claims: BTreeSet<String>,
    usd_micros_each: u64,
}

#[derive(Clone, Debug)]
struct Held {
    granted: Granted,
    until: Duration,
}

/// The claims of a namespace that exist: name and price.
struct Existing(Vec<(String, u64)>);

impl Existing {
    fn new(settings: &Settings, claims: &[Claim]) -> Self {
        let price = |claim| price::of_claim(settings, claim).unwrap_or_default();
        let all = claims.iter().map(|claim| (claim.name().to_owned(), price(claim)));
        Self(all.collect())
    }

    fn price_of(&self, claim: &str) -> Option<u64> {
        let prices = self.0.iter().filter(|(name, _)| name == claim);
        prices.map(|(_, price)| *price).max()
    }
}

impl SpendLedger {
    /// Grants the claims of one Workspace, or refuses those that do not exist yet. A grant stays until it is replaced.
    ///
    /// `existing` are all claims of the namespace that the caches show, of both kinds. The Workspaces that are returned
    /// may have room then.
    pub fn request(
        &mut self,
        settings: &Settings,
        request: &GrantRequest,
        existing: &[Claim],
        now: Duration,
    ) -> (Grant, Vec<Wake>) {
        let account = self.accounts.entry(request.namespace.clone()).or_default();
        account.held.retain(|held| now < held.until);
        let existing = Existing::new(settings, existing);
        let wanted = Granted {
            claims: request.claims.iter().cloned().collect(),
            usd_micros_each: request.usd_micros_each.unwrap_or_default(),
        };
        if !account.covers(&request.workspace, &wanted, &existing) {
            let needs = Cost::of(request.claims.len(), request.usd_micros_each);
            let others = account.cost_without(&request.workspace, &wanted, &existing);
            let (namespace, instance_type) = (&request.namespace, &request.instance_type);
            if let Some(refusal) = refuse(&settings.ceilings, namespace, instance_type, needs, others) {
                account.waiting.insert(request.workspace.clone());
                // Nothing else may tell when a hold ends that began before this Workspace waited.
                let hold_ends = account.held.iter().map(|held| held.until).min();
                let wake = hold_ends.map(|until| Wake {
                    namespace: request.namespace.clone(),
                    workspace: request.workspace.clone(),
                    after: until.saturating_sub(now),
                });
                return (Grant::Refused(refusal), wake.into_iter().collect());
            }
        }
        account.waiting.remove(&request.workspace);
        let wakes = account.replace(&request.namespace, &request.workspace, Some(wanted), now);
        (Grant::Granted, wakes)
    }

    /// Takes back the grant of a Workspace that needs no claims, or is gone.
    pub fn withdraw(&mut self, namespace: &str, workspace: &str, now: Duration) -> Vec<Wake> {
        let Some(account) = self.accounts.get_mut(namespace) else {
            return Vec::new();
        };
        account.waiting.remove(workspace);
        account.held.retain(|held| now < held.until);
        let wakes = account.replace(namespace, workspace, None, now);
        if account.grants.is_empty() && account.held.is_empty() && account.waiting.is_empty() {
            self.accounts.remove(namespace);
        }
        wakes
    }

    /// Returns the Workspaces that wait for room in a namespace. A claim there is gone.
    #[must_use]
    pub fn freed(&self, namespace: &str) -> Vec<Wake> {
        let account = self.accounts.get(namespace);
        account.map_or_else(Vec::new, |account| account.wake(namespace, Duration::ZERO))
    }
}

impl Account {
    /// Returns true if every claim exists or was granted, at this price or above.
    fn covers(&self, workspace: &str, wanted: &Granted, existing: &Existing) -> bool {
        let granted = self.grants.get(workspace);
        wanted.claims.iter().all(|claim| {
            let is_granted = granted.is_some_and(|granted| {
                granted.claims.contains(claim) && granted.usd_micros_each >= wanted.usd_micros_each
            });
            let exists = existing.price_of(claim);
            is_granted || exists.is_some_and(|price| price >= wanted.usd_micros_each)
        })
    }

    /// Nodes and price of everything in the namespace except the wanted claims.
    fn cost_without(&self, workspace: &str, wanted: &Granted, existing: &Existing) -> Cost {
        let is_other = |claim: &String| !wanted.claims.contains(claim);
        let mut cost = Cost::default();
        let others = existing.0.iter().filter(|(name, _)| is_other(name));
        others.for_each(|(_, price)| cost.add(*price));
        let grants = self.grants.iter().filter(|(name, _)| *name != workspace);
        let held = self.held.iter().map(|held| &held.granted);
        let mut unseen: BTreeMap<&str, u64> = BTreeMap::new();
        for granted in grants.map(|(_, granted)| granted).chain(held) {
            let claims = granted.claims.iter().filter(|claim| is_other(claim));
            for claim in claims.filter(|claim| existing.price_of(claim).is_none()) {
                let price = unseen.entry(claim).or_default();
                *price = granted.usd_micros_each.max(*price);
            }
        }
        unseen.into_values().for_each(|price| cost.add(price));
        cost
    }

    /// Replaces the grant of a Workspace. Claims that are not granted any more are held for a while.
    fn replace(
        &mut self,
        namespace: &str,
        workspace: &str,
        new: Option<Granted>,
        now: Duration,
    ) -> Vec<Wake> {
        let old = match new.clone() {
            Some(new) => self.grants.insert(workspace.to_owned(), new),
            None => self.grants.remove(workspace),
        };
        let Some(mut old) = old else { return Vec::new() };
        if let Some(new) = new
            && new.usd_micros_each >= old.usd_micros_each
        {
            old.claims.retain(|claim| !new.claims.contains(claim));
        }
        if old.claims.is_empty() {
            return Vec::new();
        }
        self.held.push(Held {
            granted: old,
            until: now.saturating_add(HOLD),
        });
        self.wake(namespace, HOLD)
    }

    fn wake(&self, namespace: &str, after: Duration) -> Vec<Wake> {
        let wake = |workspace: &String| Wake {
            namespace: namespace.to_owned(),
            workspace: workspace.clone(),
            after,
        };
        self.waiting.iter().map(wake).collect()
    }
}

#[cfg(test)]
mod tests;

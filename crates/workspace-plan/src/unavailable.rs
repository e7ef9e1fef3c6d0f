//! Memory of instance types that a provisioner could not launch: one for all Workspaces of the process.
//!
//! It holds what the claims and Events of all Workspaces said, for a while. A restart forgets it, which costs one attempt each.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, WorkspaceReason};
use plan::condition::ConditionReason as _;

use crate::condition::AnyReason;
use crate::launch_report::{self, CAPACITY, MESSAGE, is_foreign, refusal};
use crate::metadata::is_live;
use crate::offer::Offer;

/// Most offers that are remembered. Those that are forgotten soonest give way.
const MOST: usize = 256;

/// An offer that was refused, and until when it is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnavailableType {
    pub(crate) offer: Offer,
    pub(crate) reason: AnyReason,
    /// Words of the provisioner.
    pub(crate) message: String,
    /// Time of the first refusal since the offer was forgotten last.
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

impl UnavailableType {
    /// The labels of a metric: instance type, capacity types, zones and reason.
    #[must_use]
    pub fn labels(&self) -> [(&'static str, String); 4] {
        [
            ("instance_type", self.offer.instance_type.clone()),
            ("capacity_types", self.offer.capacity_types.join(",")),
            ("zones", self.offer.zones.join(",")),
            ("reason", self.reason.as_str().to_owned()),
        ]
    }
}

/// All offers that were refused lately.
#[derive(Clone, Debug, Default)]
pub struct UnavailableTypes(BTreeMap<Offer, Arc<UnavailableType>>);

impl UnavailableTypes {
    /// Records one change of a claim of either kind: a new refusal, the end of a claim that could not be launched, or a launch.
    pub fn record(&mut self, old: Option<&Claim>, new: Option<&Claim>, now: Timestamp) {
        if let Some(new) = new
            && new.is_true(ClaimConditionType::Launched)
        {
            if old.is_some_and(|old| !old.is_true(ClaimConditionType::Launched))
                && let Some(offer) = Offer::of(new)
            {
                self.0.remove(&offer);
            }
            return;
        }
        let is_withdrawn = new.is_none_or(|new| !is_live(new.metadata()));
        let refused = match (old, new) {
            // A Karpenter repeats a launch for a while. It counts once it took so long that the claim is given up.
            (Some(old), _) if is_foreign(old) => {
                refusal(old).filter(|_| is_withdrawn && launch_report::has_lasted(old, now))
            }
            (_, Some(new)) if is_foreign(new) => None,
            // A restart may have forgotten it.
            (old, Some(new)) => refusal(new).filter(|found| {
                let is_new = old.and_then(refusal).as_ref() != Some(found);
                is_new || Offer::of(new).is_some_and(|offer| !self.0.contains_key(&offer))
            }),
            (_, None) => None,
        };
        if let Some((reason, message)) = refused
            && let Some(offer) = new.or(old).and_then(Offer::of)
        {
            self.add(offer, reason, &message, now);
        }
    }

    /// Records an Event about a Karpenter's claim with this offer: it has no capacity.
    pub fn record_event(&mut self, event: &Event, offer: Offer, now: Timestamp) {
        if event.reason.as_deref() == Some(CAPACITY) {
            let message = event.message.as_deref().unwrap_or_default();
            let message = launch_report::words(message);
            self.add(offer, WorkspaceReason::NodeClaimLost.into(), message, now);
        }
    }

    /// Returns the offers that are left out now.
    #[must_use]
    pub fn all(&self, now: Timestamp) -> Vec<Arc<UnavailableType>> {
        let lasting = self.0.values().filter(|found| now < found.until);
        lasting.map(Arc::clone).collect()
    }

    fn add(&mut self, offer: Offer, reason: AnyReason, message: &str, now: Timestamp) {
        self.0.retain(|_, found| now < found.until);
        let time = lasts(reason);
        let until = now.saturating_add(time).unwrap_or(now);
        let old = self.0.get(&offer).filter(|old| old.reason == reason);
        // The status shows the time, so it moves rarely.
        if old.is_some_and(|old| until.duration_since(old.until) < time / 2) {
            return;
        }
        let found = UnavailableType {
            offer: offer.clone(),
            reason,
            message: plan::text::cut(message, MESSAGE),
            since: old.map_or(now, |old| old.since),
            until,
        };
        self.0.insert(offer, Arc::new(found));
        if self.0.len() > MOST {
            let soonest = self.0.values().min_by_key(|found| found.until);
            if let Some(offer) = soonest.map(|found| found.offer.clone()) {
                self.0.remove(&offer);
            }
        }
    }
}

/// Time for which a refused offer is left out.
fn lasts(reason: AnyReason) -> SignedDuration {
    match reason {
        // Capacity comes and goes; quota and restrictions change when a person acts.
        AnyReason::Claim(ClaimReason::SubscriptionQuotaReached) => SignedDuration::from_mins(15),
        AnyReason::Claim(ClaimReason::SkuNotAvailable) => SignedDuration::from_mins(60),
        _ => SignedDuration::from_mins(10),
    }
}

#[cfg(test)]
mod tests;

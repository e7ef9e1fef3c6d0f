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

/// Instances in a row without a Node after which their offer counts as refused. One may be chance.
const UNJOINED: u32 = 2;
/// Time after which an instance without a Node is forgotten.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(2);

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
    fn is_unjoined(&self) -> bool {
        self.reason == AnyReason::Claim(ClaimReason::NodeNeverJoined)
    }

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
pub struct UnavailableTypes {
    refused: BTreeMap<Offer, Arc<UnavailableType>>,
    /// Instances of a Karpenter in a row whose Nodes never joined, and the end of the last one.
    unjoined: BTreeMap<Offer, (u32, Timestamp)>,
}

impl UnavailableTypes {
    /// Records one change of a claim of either kind: a new refusal, the end of a claim that could not be launched, or a launch.
    pub fn record(&mut self, old: Option<&Claim>, new: Option<&Claim>, now: Timestamp) {
        self.record_joining(old, new, now);
        let has_become = |new: &Claim, step| new.is_true(step) && old.is_some_and(|old| !old.is_true(step));
        if let Some(new) = new
            && new.is_true(ClaimConditionType::Launched)
        {
            let (launched, registered) = (ClaimConditionType::Launched, ClaimConditionType::Registered);
            if let Some(offer) = Offer::of(new).filter(|_| has_become(new, launched)) {
                // An instance shows nothing where Nodes do not join.
                self.refused
                    .retain(|refused, found| *refused != offer || found.is_unjoined());
            }
            if let Some(offer) = Offer::of(new).filter(|_| has_become(new, registered)) {
                self.refused.remove(&offer);
                self.unjoined.remove(&offer);
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
                is_new || Offer::of(new).is_some_and(|offer| !self.refused.contains_key(&offer))
            }),
            (_, None) => None,
        };
        if let Some((reason, message)) = refused
            && let Some(offer) = new.or(old).and_then(Offer::of)
        {
            self.add(offer, reason, &message, now);
        }
    }

    /// Counts a Karpenter's claim that is gone because its Node never joined. A gpu-provisioner counts by itself.
    fn record_joining(&mut self, old: Option<&Claim>, new: Option<&Claim>, now: Timestamp) {
        let Some(words) = old
            .filter(|_| new.is_none())
            .and_then(|old| launch_report::never_joined(old, now))
        else {
            return;
        };
        let Some(offer) = old.and_then(Offer::of) else {
            return;
        };
        self.unjoined
            .retain(|_, (_, at)| now.duration_since(*at) < REMEMBERED);
        let count = self.unjoined.get(&offer).map_or(0, |(count, _)| *count);
        let count = count.saturating_add(1);
        self.unjoined.insert(offer.clone(), (count, now));
        if self.unjoined.len() > MOST {
            let oldest = self.unjoined.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(offer, _)| offer.clone()) {
                self.unjoined.remove(&oldest);
            }
        }
        if count >= UNJOINED {
            self.add(offer, ClaimReason::NodeNeverJoined.into(), &words, now);
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
        let lasting = self.refused.values().filter(|found| now < found.until);
        lasting.map(Arc::clone).collect()
    }

    fn add(&mut self, offer: Offer, reason: AnyReason, message: &str, now: Timestamp) {
        self.refused.retain(|_, found| now < found.until);
        let time = lasts(reason);
        let until = now.saturating_add(time).unwrap_or(now);
        let old = self.refused.get(&offer).filter(|old| old.reason == reason);
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
        self.refused.insert(offer, Arc::new(found));
        if self.refused.len() > MOST {
            let soonest = self.refused.values().min_by_key(|found| found.until);
            if let Some(offer) = soonest.map(|found| found.offer.clone()) {
                self.refused.remove(&offer);
            }
        }
    }
}

/// Time for which a refused offer is left out.
fn lasts(reason: AnyReason) -> SignedDuration {
    match reason {
        // Capacity comes and goes; quota and restrictions change when a person acts.
        AnyReason::Claim(ClaimReason::SubscriptionQuotaReached) => SignedDuration::from_mins(15),
        AnyReason::Claim(ClaimReason::SkuNotAvailable | ClaimReason::NodeNeverJoined) => {
            SignedDuration::from_mins(60)
        }
        _ => SignedDuration::from_mins(10),
    }
}

#[cfg(test)]
mod tests;

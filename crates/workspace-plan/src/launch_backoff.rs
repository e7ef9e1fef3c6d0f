//! The pause before a claim is created again that was deleted before its Node was initialized.
//!
//! A Karpenter deletes a claim for which there is no capacity, or whose instance does not join in time. Creating it again
//! at once would buy an instance every few minutes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status};
use kaito_api::labels::{WORKSPACE, WORKSPACE_NAMESPACE};
use kaito_api::{Claim, NodeClaim};

use crate::offer::Offer;

/// Pause after the first failed launch; doubled after each further one in a row.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// Longest pause.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);
/// Time after which a failed launch is forgotten: longer than the longest pause.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// Failed launches in a row of one claim name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchBackoff {
    /// UID of the last claim that failed, to find the Events about it.
    pub uid: String,
    /// Offer that it asked for; `None` if it named no instance type.
    pub offer: Option<Offer>,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// Last report of its provisioner; empty if there was none.
    pub cause: String,
    /// Time of the last failure.
    pub failed_at: Timestamp,
    /// Number of failures in a row.
    pub failures: u32,
}

impl LaunchBackoff {
    /// Time until the claim may be created again; `None` if it may be now.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        let pause = plan::backoff::doubling(FIRST, LONGEST, self.failures.saturating_sub(1));
        let due = self.failed_at.saturating_add(pause).unwrap_or(self.failed_at);
        let left = due.duration_since(now);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }
}

/// All back-offs, by Workspace and claim name. A restart forgets them, which costs one request each.
#[derive(Clone, Debug, Default)]
pub struct LaunchBackoffs(HashMap<(String, String), BTreeMap<String, LaunchBackoff>>);

impl LaunchBackoffs {
    /// Records one change of a NodeClaim.
    ///
    /// A claim that is deleted before its Node was initialized adds a failure; an initialized Node clears them. An instance
    /// alone is no success: a Karpenter may report it before it exists, and it may never join.
    pub fn record(&mut self, old: Option<&NodeClaim>, new: Option<&NodeClaim>, now: Timestamp) {
        match (old, new) {
            (Some(old), None) if !is_initialized(old) => self.add_failure(old, now),
            (_, Some(new)) if is_initialized(new) => self.clear(new),
            _ => {}
        }
    }

    /// Returns the back-offs of one Workspace, by claim name.
    #[must_use]
    pub fn of(&self, namespace: &str, workspace: &str) -> BTreeMap<String, LaunchBackoff> {
        let key = (namespace.to_owned(), workspace.to_owned());
        self.0.get(&key).cloned().unwrap_or_default()
    }

    /// Returns the offer of the claim of this UID, if it failed last.
    #[must_use]
    pub fn offer_of(&self, uid: &str) -> Option<Offer> {
        let mut all = self.0.values().flat_map(BTreeMap::values);
        all.find(|backoff| backoff.uid == uid)?.offer.clone()
    }

    /// Returns namespace and name of the Workspace whose claim of this UID failed last.
    #[must_use]
    pub fn owner_of(&self, uid: &str) -> Option<(String, String)> {
        let mut all = self.0.iter();
        let found = all.find(|(_, claims)| claims.values().any(|backoff| backoff.uid == uid));
        found.map(|(owner, _)| owner.clone())
    }

    fn add_failure(&mut self, claim: &NodeClaim, now: Timestamp) {
        for claims in self.0.values_mut() {
            claims.retain(|_, backoff| now.duration_since(backoff.failed_at) < REMEMBERED);
        }
        self.0.retain(|_, claims| !claims.is_empty());
        let (Some(owner), Some(name)) = (owner(claim), &claim.metadata.name) else {
            return;
        };
        let claims = self.0.entry(owner).or_default();
        let failures = claims.get(name).map_or(0, |backoff| backoff.failures);
        let failed = Claim::from(claim.clone());
        let backoff = LaunchBackoff {
            uid: claim.metadata.uid.clone().unwrap_or_default(),
            offer: Offer::of(&failed),
            created_at: claim
                .metadata
                .creation_timestamp
                .as_ref()
                .map_or(now, |time| time.0),
            cause: last_report(&failed).unwrap_or_default(),
            failed_at: now,
            failures: failures.saturating_add(1),
        };
        claims.insert(name.clone(), backoff);
    }

    fn clear(&mut self, claim: &NodeClaim) {
        let (Some(owner), Some(name)) = (owner(claim), &claim.metadata.name) else {
            return;
        };
        if let Some(claims) = self.0.get_mut(&owner) {
            claims.remove(name);
        }
    }
}

fn is_initialized(claim: &NodeClaim) -> bool {
    Claim::from(claim.clone()).is_true(ClaimConditionType::Initialized)
}

/// Reason and message of the last step that the provisioner reported as undone; `None` if it reported nothing.
pub(crate) fn last_report(claim: &Claim) -> Option<String> {
    let steps = ClaimConditionType::STEPS.into_iter();
    let undone = steps
        .filter_map(|step| claim.condition(step))
        .find(|condition| condition.status != Status::True)?;
    (undone.reason != ClaimReason::AwaitingReconciliation.as_str())
        .then(|| [undone.reason, undone.message.trim()].join(": "))
}

/// Namespace and name of the Workspace that the claim's labels name.
fn owner(claim: &NodeClaim) -> Option<(String, String)> {
    let labels = claim.metadata.labels.as_ref()?;
    let label = |key: &str| labels.get(key).cloned();
    Some((label(WORKSPACE_NAMESPACE)?, label(WORKSPACE)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(name: &str, workspace: &str, [launched, registered, initialized]: [&str; 3]) -> NodeClaim {
        let condition = |type_: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let object = json!({
            "metadata": {
                "name": name, "uid": format!("uid-{name}"),
                "labels": {"kaito.sh/workspace": workspace, "kaito.sh/workspacenamespace": "ns"},
            },
            "spec": {"nodeClassRef": {"group": "g", "kind": "k", "name": "n"}, "requirements": []},
            "status": {"conditions": [
                condition("Launched", launched, "LaunchFailed", "no such type"),
                condition("Registered", registered, "NodeNotFound", "Node not registered with cluster"),
                condition("Initialized", initialized, "AwaitingReconciliation", "object is awaiting reconciliation"),
            ]},
        });
        serde_json::from_value(object).unwrap()
    }

    const UNLAUNCHED: [&str; 3] = ["Unknown", "Unknown", "Unknown"];
    const LAUNCHED: [&str; 3] = ["True", "Unknown", "Unknown"];
    const REGISTERED: [&str; 3] = ["True", "True", "Unknown"];
    const INITIALIZED: [&str; 3] = ["True", "True", "True"];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn failures(backoffs: &LaunchBackoffs) -> Option<u32> {
        backoffs.of("ns", "w").get("c").map(|b| b.failures)
    }

    #[test]
    fn failures_in_a_row_are_counted_and_an_initialized_node_clears_them() {
        let mut backoffs = LaunchBackoffs::default();
        let unlaunched = claim("c", "w", UNLAUNCHED);
        let initialized = claim("c", "w", INITIALIZED);
        backoffs.record(Some(&unlaunched), None, at(0));
        backoffs.record(None, Some(&unlaunched), at(10));
        backoffs.record(Some(&unlaunched), None, at(20));
        assert_eq!(failures(&backoffs), Some(2));
        assert_eq!(backoffs.of("ns", "w")["c"].failed_at, at(20));
        assert!(backoffs.of("ns", "other").is_empty());
        backoffs.record(Some(&unlaunched), Some(&initialized), at(30));
        assert_eq!(failures(&backoffs), None);
        backoffs.record(Some(&initialized), None, at(40));
        assert_eq!(failures(&backoffs), None, "it had a node");
        backoffs.record(Some(&unlaunched), None, at(50));
        backoffs.record(Some(&claim("d", "other", UNLAUNCHED)), None, at(50 + 3600));
        assert_eq!(failures(&backoffs), None, "long ago");
    }

    #[test]
    fn a_claim_whose_instance_never_joins_has_failed_too() {
        for (state, cause) in [
            (UNLAUNCHED, "LaunchFailed: no such type"),
            (LAUNCHED, "NodeNotFound: Node not registered with cluster"),
            (REGISTERED, ""),
        ] {
            let mut backoffs = LaunchBackoffs::default();
            let claim = claim("c", "w", state);
            backoffs.record(None, Some(&claim), at(0));
            backoffs.record(Some(&claim), None, at(900));
            backoffs.record(None, Some(&claim), at(910));
            assert_eq!(failures(&backoffs), Some(1), "{state:?}");
            let backoff = &backoffs.of("ns", "w")["c"];
            assert_eq!((backoff.uid.as_str(), backoff.cause.as_str()), ("uid-c", cause));
            assert_eq!(
                backoffs.owner_of("uid-c"),
                Some(("ns".to_owned(), "w".to_owned()))
            );
            assert_eq!(backoffs.owner_of("uid-d"), None);
            backoffs.record(Some(&claim), None, at(1810));
            assert_eq!(failures(&backoffs), Some(2), "{state:?}");
        }
    }
}

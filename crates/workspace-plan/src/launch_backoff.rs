//! The pause before a claim is created again that its provisioner deleted before it had an instance.
//!
//! A Karpenter deletes a claim for which there is no capacity. Creating it again at once would only add load.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::ClaimConditionType;
use kaito_api::labels::{WORKSPACE, WORKSPACE_NAMESPACE};
use kaito_api::{Claim, NodeClaim};

/// Pause after the first failed launch; doubled after each further one in a row.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// Longest pause.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);
/// Time after which a failed launch is forgotten: longer than the longest pause.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// Failed launches in a row of one claim name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchBackoff {
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
    /// A claim that is deleted without an instance adds a failure; a claim with an instance clears them.
    pub fn record(&mut self, old: Option<&NodeClaim>, new: Option<&NodeClaim>, now: Timestamp) {
        match (old, new) {
            (Some(old), None) if !is_launched(old) => self.add_failure(old, now),
            (_, Some(new)) if is_launched(new) => self.clear(new),
            _ => {}
        }
    }

    /// Returns the back-offs of one Workspace, by claim name.
    #[must_use]
    pub fn of(&self, namespace: &str, workspace: &str) -> BTreeMap<String, LaunchBackoff> {
        let key = (namespace.to_owned(), workspace.to_owned());
        self.0.get(&key).cloned().unwrap_or_default()
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
        let backoff = LaunchBackoff {
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

fn is_launched(claim: &NodeClaim) -> bool {
    Claim::from(claim.clone()).is_true(ClaimConditionType::Launched)
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

    fn claim(name: &str, workspace: &str, launched: &str) -> NodeClaim {
        let object = json!({
            "metadata": {
                "name": name,
                "labels": {"kaito.sh/workspace": workspace, "kaito.sh/workspacenamespace": "ns"},
            },
            "spec": {"nodeClassRef": {"group": "g", "kind": "k", "name": "n"}, "requirements": []},
            "status": {"conditions": [
                {"type": "Launched", "status": launched, "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ]},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn failures_in_a_row_are_counted_and_an_instance_clears_them() {
        let mut backoffs = LaunchBackoffs::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let unlaunched = claim("c", "w", "Unknown");
        let launched = claim("c", "w", "True");
        let failures = |backoffs: &LaunchBackoffs| backoffs.of("ns", "w").get("c").map(|b| b.failures);
        backoffs.record(Some(&unlaunched), None, at(0));
        backoffs.record(None, Some(&unlaunched), at(10));
        backoffs.record(Some(&unlaunched), None, at(20));
        assert_eq!(failures(&backoffs), Some(2));
        assert_eq!(backoffs.of("ns", "w")["c"].failed_at, at(20));
        assert!(backoffs.of("ns", "other").is_empty());
        backoffs.record(Some(&unlaunched), Some(&launched), at(30));
        assert_eq!(failures(&backoffs), None);
        backoffs.record(Some(&launched), None, at(40));
        assert_eq!(failures(&backoffs), None, "it had an instance");
        backoffs.record(Some(&unlaunched), None, at(50));
        backoffs.record(Some(&claim("d", "other", "Unknown")), None, at(50 + 3600));
        assert_eq!(failures(&backoffs), None, "long ago");
    }
}

//! Which NodeClaims went away before they had an instance, remembered while the program runs: a Karpenter deletes a claim
//! for which there is no capacity, and asking again at once would only heat the cloud. Forgetting costs a request.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::ClaimConditionType;
use kaito_api::{Claim, NodeClaim};
use operator_runtime::Touched;
use workspace_plan::Lost;

use crate::observe::owner_value;

/// How long a loss is remembered: longer than the longest pause.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

type ByOwner = HashMap<String, BTreeMap<String, Lost>>;

/// Lost claims by `namespace/name` of their Workspace, and by name.
#[derive(Clone, Debug, Default)]
pub struct LostClaims(Arc<Mutex<ByOwner>>);

impl LostClaims {
    /// Takes a change in: a claim that is gone without an instance is lost, one that has an instance is not.
    pub fn take(&self, touched: &Touched<NodeClaim>, now: Timestamp) {
        let launched =
            |claim: &Arc<NodeClaim>| Claim::from(Arc::clone(claim)).is_true(ClaimConditionType::Launched);
        let name = touched.key.name.as_str();
        match (&touched.before, &touched.after) {
            (Some(before), None) if !launched(before) => {
                for owner in owner_value(before.as_ref()) {
                    self.note(owner, name, now);
                }
            }
            (_, Some(after)) if launched(after) => {
                for owner in owner_value(after.as_ref()) {
                    self.lock().get_mut(&owner).and_then(|lost| lost.remove(name));
                }
            }
            _ => {}
        }
    }

    /// What a Workspace has lost.
    #[must_use]
    pub fn of(&self, owner: &str) -> BTreeMap<String, Lost> {
        self.lock().get(owner).cloned().unwrap_or_default()
    }

    fn note(&self, owner: String, name: &str, now: Timestamp) {
        let mut all = self.lock();
        for lost in all.values_mut() {
            lost.retain(|_, lost| now.duration_since(lost.at) < KEPT);
        }
        all.retain(|_, lost| !lost.is_empty());
        let first = Lost { at: now, times: 0 };
        let lost = all
            .entry(owner)
            .or_default()
            .entry(name.to_owned())
            .or_insert(first);
        *lost = Lost {
            at: now,
            times: lost.times.saturating_add(1),
        };
    }

    fn lock(&self) -> MutexGuard<'_, ByOwner> {
        // Every update leaves the map whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use operator_runtime::Key;
    use serde_json::json;

    use super::*;

    fn claim(launched: &str) -> Arc<NodeClaim> {
        let object = json!({
            "metadata": {
                "name": "c",
                "labels": {"kaito.sh/workspace": "w", "kaito.sh/workspacenamespace": "ns"},
            },
            "spec": {"nodeClassRef": {"group": "g", "kind": "k", "name": "n"}, "requirements": []},
            "status": {"conditions": [
                {"type": "Launched", "status": launched, "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ]},
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn touched(before: Option<&str>, after: Option<&str>) -> Touched<NodeClaim> {
        Touched {
            key: Key::cluster("c"),
            before: before.map(claim),
            after: after.map(claim),
        }
    }

    #[test]
    fn losses_in_a_row_are_counted_and_an_instance_ends_the_row() {
        let lost = LostClaims::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let times = || lost.of("ns/w").get("c").map(|lost| lost.times);
        lost.take(&touched(Some("Unknown"), None), at(0));
        lost.take(&touched(None, Some("Unknown")), at(10));
        lost.take(&touched(Some("Unknown"), None), at(20));
        assert_eq!(times(), Some(2));
        assert_eq!(lost.of("ns/w")["c"].at, at(20));
        assert!(lost.of("ns/other").is_empty());
        lost.take(&touched(Some("Unknown"), Some("True")), at(30));
        assert_eq!(times(), None);
        lost.take(&touched(Some("True"), None), at(40));
        assert_eq!(times(), None, "it had an instance");
        lost.take(&touched(Some("Unknown"), None), at(50));
        lost.note("ns/other".to_owned(), "d", at(50 + 3600));
        assert_eq!(times(), None, "long ago");
    }
}

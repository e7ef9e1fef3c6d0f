//! `explain` as JSON: the conditions, each with the meaning and the remedy of its reason.

use kaito_api::Workspace;
use kaito_api::conditions::ReasonText;
use serde_json::{Value, json};

use crate::presets_json::known;

/// Describes the Workspace.
pub(crate) fn of(workspace: &Workspace) -> Value {
    let status = workspace.status.clone().unwrap_or_default();
    let conditions = status.conditions.iter().map(|condition| {
        let text = ReasonText::find(&condition.reason);
        let some = |text: &str| json!(Some(text).filter(|text| !text.is_empty()));
        known([
            ("type", json!(condition.type_)),
            ("status", json!(condition.status)),
            ("reason", json!(condition.reason)),
            ("message", json!(condition.message)),
            ("lastTransitionTime", json!(condition.last_transition_time)),
            ("meaning", text.map_or(Value::Null, |text| some(text.meaning))),
            ("remedy", text.map_or(Value::Null, |text| some(text.remedy))),
        ])
    });
    known([
        ("namespace", json!(workspace.namespace())),
        ("name", json!(workspace.name())),
        ("state", json!(status.state)),
        ("reason", json!(status.reason)),
        ("model", json!(status.model)),
        ("modelRevision", json!(status.model_revision)),
        ("endpoint", json!(status.endpoint)),
        ("targetNodes", json!(status.target_node_count)),
        ("nodes", json!(status.worker_nodes)),
        ("instanceType", json!(status.instance_type)),
        (
            "offerings",
            json!(Some(&status.offerings).filter(|all| !all.is_empty())),
        ),
        ("attempts", json!(status.attempts)),
        ("conditions", conditions.collect()),
        ("coldStart", json!(status.cold_start)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_its_remedy_and_every_attempt_is_there() {
        let workspace = serde_json::from_value(json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w", "namespace": "n"},
            "status": {"state": "Pending", "instanceType": "B", "attempts": [{
                "time": "2026-01-01T00:00:00Z", "instanceType": "A", "claim": "ws1", "reason": "AllocationFailure",
                "message": "no capacity",
            }], "conditions": [{
                "type": "ResourceReady", "status": "False", "reason": "SubscriptionQuotaReached", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        }))
        .unwrap();
        let shown = of(&workspace);
        assert_eq!(
            (&shown["state"], &shown["name"]),
            (&json!("Pending"), &json!("w"))
        );
        let remedy = shown["conditions"][0]["remedy"].as_str().unwrap();
        assert!(remedy.contains("Ask for more quota"), "{remedy}");
        assert!(shown.get("endpoint").is_none());
        assert_eq!(shown["instanceType"], "B");
        let attempt = json!({
            "time": "2026-01-01T00:00:00Z", "instanceType": "A", "claim": "ws1", "reason": "AllocationFailure",
            "message": "no capacity",
        });
        assert_eq!(shown["attempts"], json!([attempt]));
    }
}

//! State of a pod, as its status shows it.

use serde_json::Value;

use crate::json;

/// Returns true if a pod has ended by itself.
#[must_use]
pub fn is_over(pod: &Value) -> bool {
    ["Succeeded", "Failed"].contains(&json::text(pod, &["status", "phase"]))
}

/// Returns true if a pod is ready.
#[must_use]
pub fn is_ready(pod: &Value) -> bool {
    json::list(pod, &["status", "conditions"])
        .iter()
        .any(|c| json::text(c, &["type"]) == "Ready" && json::text(c, &["status"]) == "True")
}

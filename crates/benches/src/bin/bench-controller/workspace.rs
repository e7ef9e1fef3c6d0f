//! The Workspaces of a run.

use serde_json::{Value, json};

/// A Workspace of one GPU node.
pub(crate) fn workspace(name: &str) -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": name},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": name}}},
        "inference": {"preset": {"name": "phi-4-mini-instruct"}}
    })
}

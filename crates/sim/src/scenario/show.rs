//! The state of a world in a few lines.

use kaito_api::conditions::WorkspaceReason;
use plan::Kind;
use serde_json::Value;

use crate::api_server::is_deleting;
use crate::json;
use crate::kubelet::pod_state::is_ready;
use crate::world::World;

/// Returns one line for every object and pool.
pub(super) fn show(world: &World) -> String {
    let mut lines = Vec::new();
    for (key, value) in world.api.all() {
        let what = match key.kind {
            Kind::Workspace => conditions(value, json::text(value, &["status", "state"])) + &upgrades(value),
            Kind::Machine | Kind::NodeClaim => conditions(value, json::text(value, &["status", "nodeName"])),
            Kind::Node => conditions(value, &taints(value)),
            Kind::Event => continue,
            Kind::Pod if key.namespace.as_deref() == Some("kube-system") => continue,
            Kind::Pod => pod(value),
            Kind::Deployment | Kind::StatefulSet => replicas(value),
            Kind::Job => format!(
                "{} active, {} succeeded",
                count(value, "active"),
                count(value, "succeeded")
            ),
            Kind::PersistentVolumeClaim => json::text(value, &["status", "phase"]).to_owned(),
            Kind::Service | Kind::ConfigMap | Kind::NetworkPolicy | Kind::ControllerRevision => String::new(),
        };
        let deleting = if is_deleting(value) {
            " (being deleted)"
        } else {
            ""
        };
        lines.push(format!("{}{deleting}: {what}", crate::api_server::shown(key)));
    }
    for pool in world.cloud.pools() {
        lines.push(format!(
            "instance {}: {} ({:?})",
            pool.name,
            pool.state.as_str(),
            pool.owner
        ));
    }
    lines
        .iter()
        .map(|line| format!("  | {}\n", line.trim_end_matches([' ', ':'])))
        .collect()
}

/// Notes of the status about upgrades, by reason.
fn upgrades(workspace: &Value) -> String {
    let conditions = json::list(workspace, &["status", "conditions"]);
    let mut ready = conditions
        .iter()
        .filter(|c| json::text(c, &["type"]) == "WorkspaceReady");
    let message = ready
        .next()
        .map_or("", |condition| json::text(condition, &["message"]));
    let reasons = [
        WorkspaceReason::UpgradeAvailable,
        WorkspaceReason::UpgradeFailed,
        WorkspaceReason::UpgradesStopped,
    ];
    let found = reasons.iter().map(|reason| reason.as_str());
    let found = found.filter(|reason| message.contains(&format!("{reason}: ")));
    found.map(|reason| format!(" {reason}")).collect()
}

fn conditions(value: &Value, first: &str) -> String {
    let told = json::list(value, &["status", "conditions"]).iter().map(|c| {
        let reason = json::text(c, &["reason"]);
        let status = json::text(c, &["status"]);
        let why = if status == "True" || reason.is_empty() {
            String::new()
        } else {
            format!("/{reason}")
        };
        format!("{}={status}{why}", json::text(c, &["type"]))
    });
    [first.to_owned()]
        .into_iter()
        .filter(|first| !first.is_empty())
        .chain(told)
        .collect::<Vec<_>>()
        .join(" ")
}

fn taints(node: &Value) -> String {
    let keys: Vec<&str> = json::list(node, &["spec", "taints"])
        .iter()
        .map(|taint| json::text(taint, &["key"]))
        .collect();
    if keys.is_empty() {
        String::new()
    } else {
        format!("taints[{}]", keys.join(" "))
    }
}

fn pod(value: &Value) -> String {
    let node = json::text(value, &["spec", "nodeName"]);
    let ready = if is_ready(value) { "ready" } else { "not ready" };
    let place = if node.is_empty() {
        "unscheduled".to_owned()
    } else {
        format!("on {node}")
    };
    format!("{} {ready} {place}", json::text(value, &["status", "phase"]))
}

fn replicas(value: &Value) -> String {
    format!(
        "{}/{} ready",
        count(value, "readyReplicas"),
        json::number(value, &["spec", "replicas"]).unwrap_or(1)
    )
}

fn count(value: &Value, field: &str) -> i64 {
    json::number(value, &["status", field]).unwrap_or(0)
}

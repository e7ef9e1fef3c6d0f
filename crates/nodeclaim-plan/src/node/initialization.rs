//! Whether a registered Node is fit for work. Once it was, it stays so: readiness that is lost later is the
//! Workspace's business.

use k8s_openapi::api::core::v1::{Node, Taint};
use kaito_api::Claim;
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::{INITIALIZED, UNREGISTERED_TAINT};
use kaito_api::quantity::ceil_units;
use kube::ResourceExt as _;

use crate::launch::spec::taint_text;
use crate::node::edit::NodeEdit;
use crate::status::conditions::{self, ConditionUpdate};

/// Taints of a Node that is still starting: key, value where it matters, effect.
const EPHEMERAL: [(&str, Option<&str>, &str); 5] = [
    ("node.kubernetes.io/not-ready", None, "NoSchedule"),
    ("node.kubernetes.io/not-ready", None, "NoExecute"),
    ("node.kubernetes.io/unreachable", None, "NoSchedule"),
    (
        "node.cloudprovider.kubernetes.io/uninitialized",
        Some("true"),
        "NoSchedule",
    ),
    (UNREGISTERED_TAINT, None, "NoExecute"),
];
/// The size of the disk is asked of the pool; Nodes offer no resource of this name.
const STORAGE: &str = "storage";

/// Checks the Node, in the order in which things come up on it, and labels it when all is well.
pub(crate) fn initialize(claim: &Claim, node: &Node, edit: &mut NodeEdit<'_>) -> ConditionUpdate {
    if node
        .labels()
        .get(INITIALIZED)
        .is_some_and(|value| value == "true")
    {
        return ConditionUpdate::done();
    }
    match obstacle(claim, node, edit.taints()) {
        Some((reason, cause)) => conditions::failed(reason, &cause),
        None => {
            edit.label(INITIALIZED, "true");
            ConditionUpdate::done()
        }
    }
}

/// Whether the kubelet reports the Node as ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn obstacle(claim: &Claim, node: &Node, taints: &[Taint]) -> Option<(ClaimReason, String)> {
    let name = node.name_any();
    if !is_ready(node) {
        return Some((ClaimReason::NodeNotReady, format!("Node {name} is not ready")));
    }
    if let Some(taint) = taints.iter().find(|taint| is_startup(claim, taint)) {
        let cause = format!("start-up taint {} is still on Node {name}", taint_text(taint));
        return Some((ClaimReason::StartupTaintsExist, cause));
    }
    if let Some(taint) = taints.iter().find(|taint| is_ephemeral(taint)) {
        let cause = format!("taint {} is still on Node {name}", taint_text(taint));
        return Some((ClaimReason::KnownEphemeralTaintsExist, cause));
    }
    let resource = missing_resource(claim, node)?;
    Some((
        ClaimReason::ResourceNotRegistered,
        format!("Node {name} does not offer {resource}"),
    ))
}

fn is_startup(claim: &Claim, taint: &Taint) -> bool {
    claim.startup_taints().iter().any(|startup| {
        startup.key == taint.key && startup.effect == taint.effect && value(startup) == value(taint)
    })
}

fn is_ephemeral(taint: &Taint) -> bool {
    EPHEMERAL.iter().any(|(key, wanted, effect)| {
        taint.key == *key && taint.effect == *effect && wanted.is_none_or(|wanted| wanted == value(taint))
    })
}

fn value(taint: &Taint) -> &str {
    taint.value.as_deref().unwrap_or_default()
}

fn missing_resource<'a>(claim: &'a Claim, node: &Node) -> Option<&'a String> {
    let requests = claim.requests()?;
    let offered = node
        .status
        .as_ref()
        .and_then(|status| status.allocatable.as_ref());
    let is_some = |text: &str| ceil_units(text).is_none_or(|units| units > 0);
    let offers = |name: &String| {
        offered
            .and_then(|all| all.get(name))
            .is_some_and(|q| is_some(&q.0))
    };
    requests
        .iter()
        .find(|(name, wanted)| *name != STORAGE && is_some(&wanted.0) && !offers(name))
        .map(|(name, _)| name)
}

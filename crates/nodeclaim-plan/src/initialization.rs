//! Initialization: the check that a registered Node is fit for work. A Node that passed once stays initialized; readiness
//! that is lost later is the Workspace's business.

use k8s_openapi::api::core::v1::{Node, Taint};
use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use kaito_api::labels::{INITIALIZED, UNREGISTERED_TAINT};
use kaito_api::quantity::ceil_units;
use kube::ResourceExt as _;

use crate::condition::{self, ConditionUpdate};
use crate::launch::decision::LaunchState;
use crate::node::edit::NodeEdit;
use crate::node::facts::{is_initialized, is_ready, taint_text, taints};

/// Taints of a Node that is still starting: key, value if it matters, effect.
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
/// Request for the size of the disk. The instance meets it; Nodes offer no resource of this name.
const STORAGE: &str = "storage";

/// Checks the Node, if there is one, and labels it once it is fit. Returns the update of `Initialized`.
pub(crate) fn decide(claim: &Claim, state: &mut LaunchState<'_>) -> ConditionUpdate {
    match state {
        LaunchState::NotLaunched(_) => condition::not_launched(claim),
        LaunchState::NoSingleNode { reason, cause } => condition::pending(*reason, cause),
        LaunchState::Joined(edit) => initialize(claim, edit),
        LaunchState::Unchanged => condition::stored(claim, ClaimConditionType::Initialized),
    }
}

fn initialize(claim: &Claim, edit: &mut NodeEdit<'_>) -> ConditionUpdate {
    let node = edit.node();
    if is_initialized(node) {
        return ConditionUpdate::done();
    }
    match obstacle(claim, node, edit.taints()) {
        Some((reason, cause)) => condition::unmet(reason, &cause),
        None => {
            edit.label(INITIALIZED, "true");
            ConditionUpdate::done()
        }
    }
}

/// Returns true if a Node that is registered as it is now would be fit for work.
pub(crate) fn is_fit(claim: &Claim, node: &Node) -> bool {
    let taints = taints(node).iter();
    let left: Vec<Taint> = taints
        .filter(|taint| taint.key != UNREGISTERED_TAINT)
        .cloned()
        .collect();
    obstacle(claim, node, &left).is_none()
}

/// Returns what the Node still lacks, in the order in which things come up on it.
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

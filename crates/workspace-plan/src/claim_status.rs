//! Readiness of a Workspace's claims, as their provisioner reports it.

use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status, WorkspaceReason};
use kaito_api::{Claim, ClaimKind};
use plan::condition::ConditionReason;

use crate::claim_problem;
use crate::claims::{self, is_ready};
use crate::condition::{AnyReason, ConditionUpdate};
use crate::context::PlanContext;
use crate::launch_report;
use crate::replaced;

/// Readiness of a Workspace's claims.
#[derive(Debug)]
pub(crate) struct ClaimStatus<'a> {
    /// True if all of them are ready.
    pub(crate) condition: ConditionUpdate,
    /// Their nodes, by name.
    pub(crate) nodes: Vec<&'a Node>,
}

impl<'a> ClaimStatus<'a> {
    /// Looks at the claims that a Workspace of `wanted` nodes needs, where claims of `kind` are created.
    pub(crate) fn of(context: &PlanContext<'a>, kind: ClaimKind, wanted: u32) -> Self {
        let needed = claims::needed(context, wanted);
        let names = || needed.iter().map(|(_, name)| name.as_str());
        let current = names()
            .filter_map(|name| claims::live(context, name))
            .filter(|claim| !claims::is_legacy(claim));
        let claims: Vec<&Claim> = claims::legacy(context).chain(current).collect();
        let lost = names()
            .filter(|name| claims::of_name(context, name).next().is_none())
            .find_map(|name| {
                let backoff = claims::backing_off(context, name)?;
                Some((name, claim_problem::lost_cause(context, backoff)))
            });
        let replaced = replaced::cause(context, names());
        Self {
            condition: condition(&claims, kind, wanted, replaced, lost),
            nodes: nodes_of(context, &claims),
        }
    }
}

fn nodes_of<'a>(context: &PlanContext<'a>, claims: &[&Claim]) -> Vec<&'a Node> {
    let node = |claim: &&Claim| context.nodes.get(claim.node_name()).copied();
    let mut nodes: Vec<&Node> = claims.iter().filter_map(node).collect();
    nodes.sort_by_key(|node| node.metadata.name.clone());
    nodes
}

fn condition(
    claims: &[&Claim],
    kind: ClaimKind,
    wanted: u32,
    replaced: Option<(AnyReason, String)>,
    lost: Option<(&str, String)>,
) -> ConditionUpdate {
    let (all_ready, waiting) = match kind {
        ClaimKind::Machine => (WorkspaceReason::MachinesReady, WorkspaceReason::MachinesNotReady),
        ClaimKind::NodeClaim => (
            WorkspaceReason::NodeClaimsReady,
            WorkspaceReason::NodeClaimsNotReady,
        ),
    };
    let ready = claims.iter().filter(|claim| is_ready(claim)).count();
    let count = format!("{ready} of {wanted} {}s are ready", kind.as_str());
    if u32::try_from(ready).unwrap_or(u32::MAX) >= wanted {
        return ConditionUpdate::met(all_ready, format!("{count}."));
    }
    let blocked = claims
        .iter()
        .filter(|claim| !is_ready(claim))
        .filter_map(|claim| Some((*claim, blocking_condition(claim)?)));
    // A problem comes before a mere wait.
    let blocked = blocked.min_by_key(|(_, (reason, _))| ConditionReason::remedy(*reason).is_empty());
    if let (None, Some((reason, message))) = (&blocked, replaced) {
        return ConditionUpdate::unmet(reason, format!("{count}; {message}"));
    }
    match (blocked, lost) {
        (None, None) => ConditionUpdate::unmet(waiting, count),
        (None, Some((name, cause))) => {
            let kind = kind.as_str();
            let again = "it is created again after a pause";
            let message =
                format!("{count}; {kind} {name} was deleted before it had a node; {again} ({cause})");
            ConditionUpdate::unmet(WorkspaceReason::NodeClaimLost, message)
        }
        (Some((claim, (reason, message))), _) => {
            let (kind, name) = (claim.claim_kind().as_str(), claim.name());
            ConditionUpdate::unmet(reason, format!("{count}; {kind} {name}: {message}"))
        }
    }
}

/// Reason and message of the first condition that keeps a claim from being ready.
///
/// Reasons of other provisioners are not in our set, so they go into the message.
fn blocking_condition(claim: &Claim) -> Option<(AnyReason, String)> {
    if let Some(report) = launch_report::launch_failure(claim) {
        return Some((WorkspaceReason::NodeClaimNotLaunched.into(), report));
    }
    let mut steps = ClaimConditionType::STEPS
        .into_iter()
        .chain([ClaimConditionType::NodeHealthy])
        .filter_map(|step| claim.condition(step));
    let blocking = steps.find(|condition| condition.status != Status::True);
    let blocking = blocking.or_else(|| claim.condition(ClaimConditionType::Ready))?;
    let message = blocking.message.trim();
    let (reason, message) = match ClaimReason::parse(blocking.reason) {
        Some(reason) if message.is_empty() => (reason, reason.as_str().to_owned()),
        Some(reason) => (reason, message.to_owned()),
        None => (ClaimReason::AwaitingCloud, [blocking.reason, message].join(": ")),
    };
    Some((reason.into(), message))
}

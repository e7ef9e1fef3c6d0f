//! A Workspace that goes: its workload, then its claims of either kind; the finalizer when the last
//! claim is gone.
//!
//! What lies in the namespace goes with the Workspace by its owner references; it is deleted here all the same, so
//! that the nodes drain quickly.

use kaito_api::Claim;
use kaito_api::conditions::{ClaimReason, WorkspaceConditionType, WorkspaceReason};
use kaito_api::labels::WORKSPACE_FINALIZER;
use plan::{Finalizer, Plan};

use crate::finding::ConditionUpdate;
use crate::status;
use crate::subject::{Subject, is_live};
use crate::{claims, workloads};

/// Decides for a Workspace that is being deleted.
pub(crate) fn plan(subject: &Subject<'_>) -> Plan {
    let mut plan = Plan::default();
    let named = workloads::named(subject);
    let own = named
        .iter()
        .filter(|named| subject.owns(named.metadata) && is_live(named.metadata));
    plan.writes = own.map(workloads::Named::delete).collect();
    plan.writes.extend(claims::orphans(subject));
    let left: Vec<&Claim> = claims::own(subject).collect();
    let live = left.iter().filter(|claim| is_live(claim.metadata()));
    plan.writes.extend(live.map(|claim| claims::delete(claim)));
    if left.is_empty() {
        plan.finalizer = Finalizer::Release(WORKSPACE_FINALIZER);
        plan.add_reason("released", "no claim is left");
        return plan;
    }
    let message = waiting_for(&left);
    plan.add_reason("deleting", &message);
    let deleting = ConditionUpdate::met(WorkspaceReason::WorkspaceDeleted, message);
    let not_ready = ConditionUpdate::unmet(
        WorkspaceReason::WorkspaceDeleted,
        "The Workspace is being deleted.",
    );
    let conditions = [
        (WorkspaceConditionType::WorkspaceReady, not_ready),
        (WorkspaceConditionType::WorkspaceDeleting, deleting),
    ];
    status::conclude_deletion(subject, &conditions, &mut plan);
    plan
}

fn waiting_for(left: &[&Claim]) -> String {
    let each = left.iter().map(|claim| match holding(claim) {
        Some(why) => format!("{} ({why})", claim.name()),
        None => claim.name().to_owned(),
    });
    format!(
        "The Workspace is being deleted. Nodes are given back: {}.",
        each.collect::<Vec<_>>().join(", ")
    )
}

// The first sentence of what its provisioner says; texts about pods that drain change often.
fn holding(claim: &Claim) -> Option<String> {
    let told = claim.leaving()?;
    let reason = ClaimReason::parse(told.reason)?;
    let is_blocked = matches!(reason, ClaimReason::Draining) || !reason.remedy().is_empty();
    let message = told.message.trim().trim_end_matches('.');
    Some(if is_blocked && !message.is_empty() {
        format!("{}: {message}", reason.as_str())
    } else {
        reason.as_str().to_owned()
    })
}

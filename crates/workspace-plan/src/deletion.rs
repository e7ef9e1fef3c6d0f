//! A terminating Workspace: deletes its workload and its claims of both kinds. It is released when the last claim is gone.
//!
//! The garbage collector would delete the objects of the namespace anyway. Deleting them here drains the nodes sooner.

use kaito_api::Claim;
use kaito_api::conditions::{ClaimReason, WorkspaceConditionType, WorkspaceReason};
use kaito_api::labels::WORKSPACE_FINALIZER;
use plan::{Finalizer, Plan};

use crate::build;
use crate::claims;
use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::metadata::is_live;
use crate::refused;
use crate::status;
use crate::workload::NamedObject;

/// Plans the deletion.
pub(crate) fn plan(context: &PlanContext<'_>) -> Plan {
    let mut plan = Plan::default();
    let objects = context
        .named
        .iter()
        .filter(|object| context.owns(object.metadata) && is_live(object.metadata));
    plan.writes = objects.map(NamedObject::delete).collect();
    plan.writes.extend(build::delete_orphaned_claims(context));
    let claims: Vec<&Claim> = claims::own(context).collect();
    let live = claims.iter().filter(|claim| is_live(claim.metadata()));
    plan.writes.extend(live.map(|claim| build::delete_claim(claim)));
    if claims.is_empty() {
        plan.finalizer = Finalizer::Release(WORKSPACE_FINALIZER);
        plan.add_reason("released", "no claim is left");
        // There is nothing to report, unless a write was refused.
        if context.refusals.is_empty() {
            return plan;
        }
    }
    let message = format!("{}{}", refused::note(context), waiting_for(&claims));
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
    status::report_deletion(context, &conditions, &mut plan);
    plan
}

fn waiting_for(claims: &[&Claim]) -> String {
    if claims.is_empty() {
        return "The Workspace is being deleted.".to_owned();
    }
    let each = claims.iter().map(|claim| match blocked_by(claim) {
        Some(reason) => format!("{} ({reason})", claim.name()),
        None => claim.name().to_owned(),
    });
    format!(
        "The Workspace is being deleted. Nodes are given back: {}.",
        each.collect::<Vec<_>>().join(", ")
    )
}

// The message is included only where it helps: messages about pods that drain change often.
fn blocked_by(claim: &Claim) -> Option<String> {
    let condition = claim.termination_condition()?;
    let reason = ClaimReason::parse(condition.reason)?;
    let is_blocked = matches!(reason, ClaimReason::Draining) || !reason.remedy().is_empty();
    let message = condition.message.trim().trim_end_matches('.');
    Some(if is_blocked && !message.is_empty() {
        format!("{}: {message}", reason.as_str())
    } else {
        reason.as_str().to_owned()
    })
}

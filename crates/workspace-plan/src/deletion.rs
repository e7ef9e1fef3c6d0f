//! A Workspace that goes: its workload, then its Machines; the finalizer when the last Machine is gone.
//!
//! What lies in the namespace goes with the Workspace by its owner references; it is deleted here all the same, so
//! that the nodes drain quickly.

use kaito_api::Machine;
use kaito_api::conditions::{
    MachineConditionType, MachineReason, Status, WorkspaceConditionType, WorkspaceReason,
};
use kaito_api::labels::WORKSPACE_FINALIZER;
use plan::{Finalizer, Plan};

use crate::finding::Finding;
use crate::status;
use crate::subject::{Subject, is_live};
use crate::{machines, workloads};

/// Decides for a Workspace that is being deleted.
pub(crate) fn plan(subject: &Subject<'_>) -> Plan {
    let mut plan = Plan::default();
    let named = workloads::named(subject);
    let own = named
        .iter()
        .filter(|named| subject.owns(named.metadata) && is_live(named.metadata));
    plan.writes = own.map(workloads::Named::delete).collect();
    plan.writes.extend(machines::orphans(subject));
    let left: Vec<&Machine> = machines::own(subject).collect();
    let live = left.iter().filter(|machine| is_live(&machine.metadata));
    plan.writes.extend(live.map(|machine| machines::delete(machine)));
    if left.is_empty() {
        plan.finalizer = Finalizer::Release(WORKSPACE_FINALIZER);
        plan.because("released", "no Machine is left");
        return plan;
    }
    let message = waiting_for(&left);
    plan.because("deleting", &message);
    let deleting = Finding {
        status: Status::True,
        reason: WorkspaceReason::WorkspaceDeleted.into(),
        message,
    };
    let not_ready = Finding::no(
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

fn waiting_for(left: &[&Machine]) -> String {
    let each = left.iter().map(|machine| match holding(machine) {
        Some(why) => format!("{} ({why})", machines::name(machine)),
        None => machines::name(machine).to_owned(),
    });
    format!(
        "The Workspace is being deleted. Nodes are given back: {}.",
        each.collect::<Vec<_>>().join(", ")
    )
}

// The first sentence of what its provisioner says; texts about pods that drain change often.
fn holding(machine: &Machine) -> Option<String> {
    let ready = machine.status.as_ref()?.condition(MachineConditionType::Ready)?;
    let reason = MachineReason::parse(&ready.reason)?;
    let is_blocked = matches!(reason, MachineReason::Draining) || !reason.remedy().is_empty();
    let message = ready.message.trim().trim_end_matches('.');
    Some(if is_blocked && !message.is_empty() {
        format!("{}: {message}", reason.as_str())
    } else {
        reason.as_str().to_owned()
    })
}

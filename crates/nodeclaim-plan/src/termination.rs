//! Termination of a claim: drain the Node, delete the instance, remove the Node, release the claim, in this order. The
//! finalizer stays until the instance is proven absent, however long that takes.

mod drain;
mod evictable;

use cloudprovider::{CloudCall, Instance, InstanceState};
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::{LAUNCH_STARTED, TERMINATION_FINALIZER};
use plan::{Finalizer, Plan, Write};

use crate::claim_edit::ClaimEdit;
use crate::condition::{self, ConditionUpdate};
use crate::context::PlanContext;
use crate::instance::InstanceView;
use crate::launch::{error_reasons, visibility};
use crate::node::edit;
use crate::node::facts::has_finalizer;
use crate::termination::drain::Drain;
use crate::{instance_deletion, status};

/// Plans for a claim that is being deleted and carries our finalizer.
pub(crate) fn plan(context: &PlanContext<'_>) -> Plan<CloudCall> {
    if let Some(cause) = &context.cluster_conflict {
        return Plan {
            requeue: Some(context.poll),
            ..waiting(context, "other_cluster", ClaimReason::ClusterIdChanged, cause)
        };
    }
    match context.instance {
        InstanceView::Unknown => prove_absence(context),
        InstanceView::Absent(reads) if reads < 2 || may_still_appear(context) => prove_absence(context),
        InstanceView::Absent(_) => remove_nodes(context),
        InstanceView::Foreign(instance) => release_nodes(context, instance),
        InstanceView::Owned(instance) => terminate(context, instance),
    }
}

fn may_still_appear(context: &PlanContext<'_>) -> bool {
    visibility::may_appear_until(context).is_some_and(|until| context.now < until)
}

/// Reads the instance: not to know of one is no proof that there is none.
fn prove_absence(context: &PlanContext<'_>) -> Plan<CloudCall> {
    let name = context.name.to_owned();
    let cause = format!("it is not certain yet that instance {name} is gone");
    Plan {
        cloud: Some(CloudCall::Read { name }),
        requeue: Some(context.poll),
        ..waiting(
            context,
            "proving_absence",
            ClaimReason::InstanceTerminating,
            &cause,
        )
    }
}

/// Removes the Nodes of an instance that is proven absent, then releases the claim.
fn remove_nodes(context: &PlanContext<'_>) -> Plan<CloudCall> {
    let nodes = context.own_nodes.iter().filter(|node| has_finalizer(node));
    let writes: Vec<Write> = nodes.flat_map(|node| edit::remove(node)).collect();
    if writes.is_empty() {
        return release("instance_absent", context.name);
    }
    let cause = format!("instance {} is gone; its Node is being removed", context.name);
    Plan {
        writes,
        requeue: Some(context.poll),
        ..waiting(context, "removing_node", ClaimReason::InstanceTerminating, &cause)
    }
}

/// Releases the Nodes of an instance that is not the claim's, then the claim. Both instance and Nodes stay.
fn release_nodes(context: &PlanContext<'_>, instance: &Instance) -> Plan<CloudCall> {
    let nodes = context.own_nodes.iter();
    let writes: Vec<Write> = nodes
        .filter_map(|node| edit::release_ownership(node, context.claim))
        .collect();
    if writes.is_empty() {
        return release("instance_not_ours", &instance.name);
    }
    let mut plan = Plan {
        writes,
        requeue: Some(context.poll),
        ..Plan::default()
    };
    plan.add_reason("releasing_node", instance.name.clone());
    plan
}

fn release(code: &'static str, instance: &str) -> Plan<CloudCall> {
    let mut plan = Plan {
        finalizer: Finalizer::Release(TERMINATION_FINALIZER),
        ..Plan::default()
    };
    plan.add_reason(code, instance);
    plan
}

/// Takes the next step against an instance of the claim.
fn terminate(context: &PlanContext<'_>, instance: &Instance) -> Plan<CloudCall> {
    let mut plan = if instance.state == InstanceState::Deleting {
        Plan {
            requeue: Some(context.poll),
            ..waiting_for(
                context,
                "instance_deleting",
                instance_deletion::stuck(context).unwrap_or_else(|| being_deleted(&instance.name)),
            )
        }
    } else {
        match drain::next(context) {
            Drain::Waiting {
                reason,
                cause,
                writes,
                requeue,
            } => Plan {
                writes,
                requeue: Some(requeue),
                ..waiting(context, "draining", reason, &cause)
            },
            Drain::Done => delete(context, instance),
        }
    };
    // The instance exists, so the create request took effect. Otherwise deletion would wait out the visibility timeout.
    let mut edit = ClaimEdit::default();
    edit.set(context.claim, LAUNCH_STARTED, None);
    plan.writes.extend(edit.into_write(context.claim));
    plan
}

fn delete(context: &PlanContext<'_>, instance: &Instance) -> Plan<CloudCall> {
    let deletion = instance_deletion::next(context, instance);
    let update = match deletion.refusal.or(instance_deletion::failure(context, instance)) {
        Some(error) => error_reasons::not_deleted(error),
        None => being_deleted(&instance.name),
    };
    Plan {
        cloud: deletion.cloud,
        requeue: deletion.requeue,
        ..waiting_for(context, "delete_instance", update)
    }
}

fn being_deleted(instance: &str) -> ConditionUpdate {
    let cause = format!("instance {instance} is being deleted");
    condition::unmet(ClaimReason::InstanceTerminating, &cause)
}

fn waiting(
    context: &PlanContext<'_>,
    code: &'static str,
    reason: ClaimReason,
    cause: &str,
) -> Plan<CloudCall> {
    waiting_for(context, code, condition::unmet(reason, cause))
}

/// Returns a plan that only shows what the claim waits for.
fn waiting_for(context: &PlanContext<'_>, code: &'static str, update: ConditionUpdate) -> Plan<CloudCall> {
    let mut plan = Plan::default();
    plan.add_reason(code, update.message.clone());
    let status = status::terminating(context, update);
    Plan {
        status: status.value,
        events: status.events,
        ..plan
    }
}

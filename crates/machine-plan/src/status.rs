//! The Machine's status: a value computed whole on every pass and written only when it differs.
//!
//! Knative algebra: `Ready` is `False` with the first failed step's reason, else `Unknown` with the first
//! unfinished one's, else `True`.

use std::collections::BTreeMap;

use cloudprovider::CloudCall;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kaito_api::conditions::{MachineConditionType, MachineReason, Status, machine_condition};
use kaito_api::labels::NVIDIA_GPU;
use kaito_api::machine_status::{MachineCondition, MachineStatus};
use kube::ResourceExt as _;
use plan::Plan;

use crate::ctx::Ctx;
use crate::events;
use crate::ownership::provider_id;
use crate::step::Step;

/// Resources that are copied from the Node; the others say nothing about a Machine.
const COPIED: [&str; 5] = ["cpu", "memory", "pods", "ephemeral-storage", NVIDIA_GPU];

/// What one pass has to say.
pub(crate) struct Report<'a> {
    /// Launched, registered, initialized.
    pub(crate) steps: [Step; 3],
    /// Where the Node's facts come from.
    pub(crate) facts: NodeFacts<'a>,
}

/// Where name, provider id and resources of the Node come from.
pub(crate) enum NodeFacts<'a> {
    /// There is no Node.
    None,
    /// From the stored status.
    AsBefore,
    /// From this Node.
    Of(&'a Node),
}

/// Puts the status of a live Machine and its events into the plan.
pub(crate) fn conclude(ctx: &Ctx<'_>, report: Report<'_>, plan: &mut Plan<CloudCall>) {
    let ready = ready(&report.steps);
    write(ctx, report, ready, plan);
}

/// Puts the status of a Machine that is going into the plan: the steps stay as they were.
pub(crate) fn conclude_going(ctx: &Ctx<'_>, ready: Step, plan: &mut Plan<CloudCall>) {
    let report = Report {
        steps: steps_as_before(ctx),
        facts: NodeFacts::AsBefore,
    };
    write(ctx, report, ready, plan);
}

fn write(ctx: &Ctx<'_>, report: Report<'_>, ready: Step, plan: &mut Plan<CloudCall>) {
    let mut status = facts(ctx, &report.facts);
    let steps = MachineConditionType::STEPS.into_iter().zip(report.steps);
    let all = steps.chain([(MachineConditionType::Ready, ready)]);
    status.conditions = all.map(|(kind, step)| condition(ctx, kind, &step)).collect();
    if ctx.status() == Some(&status) {
        return;
    }
    plan.events
        .extend(events::between(ctx.conditions(), &status.conditions));
    // Strings only, so this can't fail.
    plan.status = serde_json::to_value(&status).ok();
}

fn condition(ctx: &Ctx<'_>, kind: MachineConditionType, step: &Step) -> MachineCondition {
    machine_condition(
        ctx.conditions(),
        ctx.now,
        kind,
        step.status,
        step.reason,
        &step.message,
    )
}

/// `Ready`, from the steps.
fn ready(steps: &[Step; 3]) -> Step {
    let of = |status: Status| steps.iter().find(|step| step.status == status);
    of(Status::False)
        .or_else(|| of(Status::Unknown))
        .cloned()
        .unwrap_or_else(Step::done)
}

/// The steps as the stored status has them.
pub(crate) fn steps_as_before(ctx: &Ctx<'_>) -> [Step; 3] {
    MachineConditionType::STEPS.map(
        |kind| match ctx.status().and_then(|status| status.condition(kind)) {
            Some(condition) => as_before(condition),
            None if kind == MachineConditionType::Launched => {
                Step::waiting(MachineReason::AwaitingCloud, "the agent pools are not listed yet")
            }
            None => Step::waiting(
                MachineReason::AwaitingReconciliation,
                "the Machine is not launched",
            ),
        },
    )
}

fn as_before(condition: &MachineCondition) -> Step {
    let status = match condition.status.as_str() {
        "True" => Status::True,
        "False" => Status::False,
        _ => Status::Unknown,
    };
    Step {
        status,
        reason: MachineReason::parse(&condition.reason),
        message: condition.message.clone(),
    }
}

fn facts(ctx: &Ctx<'_>, from: &NodeFacts<'_>) -> MachineStatus {
    match from {
        NodeFacts::None => MachineStatus::default(),
        NodeFacts::AsBefore => ctx.status().cloned().unwrap_or_default(),
        NodeFacts::Of(node) => {
            let status = node.status.as_ref();
            MachineStatus {
                node_name: node.name_any(),
                provider_id: provider_id(node).unwrap_or_default().to_owned(),
                capacity: copied(status.and_then(|status| status.capacity.as_ref())),
                allocatable: copied(status.and_then(|status| status.allocatable.as_ref())),
                conditions: Vec::new(),
            }
        }
    }
}

fn copied(all: Option<&BTreeMap<String, Quantity>>) -> BTreeMap<String, Quantity> {
    let all = all.into_iter().flatten();
    all.filter(|(name, _)| COPIED.contains(&name.as_str()))
        .map(|(n, q)| (n.clone(), q.clone()))
        .collect()
}

//! The status of a Machine, from what a pass has to say.
//!
//! Knative algebra: `Ready` is `False` with the first failed step's reason, else `Unknown` with the first
//! unfinished one's, else `True`.

use cloudprovider::CloudCall;
use kaito_api::conditions::{ClaimConditionType, Status, machine_condition};
use kaito_api::machine_status::MachineCondition;
use kaito_api::{Machine, MachineStatus};
use plan::Plan;

use crate::context::Ctx;
use crate::status::conditions::ConditionUpdate;
use crate::status::events::{self, Told};
use crate::status::{Facts, NodeFacts, Report};

/// Puts the status and its events into the plan. Of a Machine that is going, `Ready` says what it waits for.
pub(crate) fn conclude(
    ctx: &Ctx<'_>,
    machine: &Machine,
    report: Report<'_>,
    holding: Option<ConditionUpdate>,
    plan: &mut Plan<CloudCall>,
) {
    let before = machine.status.as_ref();
    let old = before.map_or(&[][..], |status| &status.conditions);
    let mut status = match report.facts {
        NodeFacts::None => MachineStatus::default(),
        NodeFacts::AsBefore => before.cloned().unwrap_or_default(),
        NodeFacts::Of(node) => of_facts(Facts::of(node)),
    };
    let ready = holding.unwrap_or_else(|| ready(&report.steps));
    let steps = ClaimConditionType::STEPS.into_iter().zip(report.steps);
    let all = steps.chain([(ClaimConditionType::Ready, ready)]);
    let condition = |(kind, step): (_, ConditionUpdate)| {
        machine_condition(old, ctx.now, kind, step.status, step.reason, &step.message)
    };
    status.conditions = all.map(condition).collect();
    if before == Some(&status) {
        return;
    }
    plan.events
        .extend(events::between(ctx.kind(), &told(old), &told(&status.conditions)));
    // Strings only, so this cannot fail.
    plan.status = serde_json::to_value(&status).ok();
}

fn of_facts(facts: Facts) -> MachineStatus {
    MachineStatus {
        node_name: facts.node_name,
        provider_id: facts.provider_id,
        capacity: facts.capacity,
        allocatable: facts.allocatable,
        conditions: Vec::new(),
    }
}

/// `Ready`, from the steps.
fn ready(steps: &[ConditionUpdate; 3]) -> ConditionUpdate {
    let of = |status: Status| steps.iter().find(|step| step.status == status);
    of(Status::False)
        .or_else(|| of(Status::Unknown))
        .cloned()
        .unwrap_or_else(ConditionUpdate::done)
}

fn told(all: &[MachineCondition]) -> Vec<Told<'_>> {
    all.iter()
        .map(|condition| Told {
            type_: &condition.type_,
            status: &condition.status,
            reason: &condition.reason,
            message: &condition.message,
        })
        .collect()
}

//! The status of a Machine.
//!
//! Conditions follow knative: `Ready` is `False` with the reason of the first failed stage, else `Unknown` with that of
//! the first unfinished one, else `True`. While a Machine is being deleted, `Ready` shows what it waits for.

use jiff::Timestamp;
use kaito_api::claim::ClaimKind;
use kaito_api::conditions::{ClaimConditionType, NewCondition, Status};
use kaito_api::{Claim, Machine, MachineStatus};

use crate::condition::ConditionUpdate;
use crate::status::report::{NodeFacts, NodeSource, StatusReport};

/// Returns the complete status.
pub(crate) fn status(
    now: Timestamp,
    claim: &Claim,
    machine: &Machine,
    report: StatusReport<'_>,
) -> MachineStatus {
    let before = machine.status.as_ref();
    let mut status = match report.node {
        NodeSource::None => MachineStatus::default(),
        NodeSource::Stored => before.cloned().unwrap_or_default(),
        NodeSource::Observed(node) => of_facts(NodeFacts::of(node, claim)),
    };
    let ready = report
        .waiting_for
        .unwrap_or_else(|| ready(&report.stages, report.findings.health.as_ref()));
    let health = report.findings.health;
    let health = health.map(|health| (ClaimConditionType::NodeHealthy, health));
    let drift = report.findings.drift;
    let drift = drift.map(|drift| (ClaimConditionType::Drifted, drift));
    let stages = ClaimConditionType::STEPS.into_iter().zip(report.stages);
    let old = before.map_or(&[][..], |status| &status.conditions);
    status.conditions = stages
        .chain([(ClaimConditionType::Ready, ready)])
        .chain(health)
        .chain(drift)
        .map(|(type_, update)| {
            let new = NewCondition {
                type_: ClaimConditionType::as_str(type_, ClaimKind::Machine),
                status: update.status,
                reason: update.reason_str(),
                message: &update.message,
            };
            new.of_machine(old, now)
        })
        .collect();
    status
}

fn of_facts(facts: NodeFacts) -> MachineStatus {
    MachineStatus {
        node_name: facts.node_name,
        provider_id: facts.provider_id,
        capacity: facts.capacity,
        allocatable: facts.allocatable,
        conditions: Vec::new(),
    }
}

fn ready(stages: &[ConditionUpdate; 3], health: Option<&ConditionUpdate>) -> ConditionUpdate {
    let first = |status: Status| stages.iter().chain(health).find(|stage| stage.status == status);
    first(Status::False)
        .or_else(|| first(Status::Unknown))
        .cloned()
        .unwrap_or_else(ConditionUpdate::done)
}

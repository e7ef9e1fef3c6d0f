//! Events that follow from a change of conditions: a step's reason became a problem, or the Machine became
//! ready. What did not change is not told again.

use kaito_api::conditions::{MachineConditionType, MachineReason};
use kaito_api::machine_status::MachineCondition;
use plan::EventNote;

/// Reasons that a person should hear of.
const PROBLEMS: [MachineReason; 12] = [
    MachineReason::SkuNotAvailable,
    MachineReason::SubscriptionQuotaReached,
    MachineReason::AllocationFailure,
    MachineReason::AuthorizationFailed,
    MachineReason::ClusterNotFound,
    MachineReason::InvalidMachine,
    MachineReason::InvalidRequest,
    MachineReason::AgentPoolNameConflict,
    MachineReason::AgentPoolFailed,
    MachineReason::AgentPoolDeleting,
    MachineReason::LaunchFailed,
    MachineReason::MultipleNodesFound,
];

/// What happened between two lists of conditions.
pub(crate) fn between(old: &[MachineCondition], new: &[MachineCondition]) -> Vec<EventNote> {
    let mut notes: Vec<EventNote> = Vec::new();
    for condition in new {
        let before = old.iter().find(|c| c.type_ == condition.type_);
        if let Some(note) = note(before, condition)
            && !notes.contains(&note)
        {
            notes.push(note);
        }
    }
    notes
}

fn note(before: Option<&MachineCondition>, condition: &MachineCondition) -> Option<EventNote> {
    if condition.status == "True" {
        let news = before.is_none_or(|before| before.status != "True");
        let ready = condition.type_ == MachineConditionType::Ready.as_str();
        return (news && ready).then(|| EventNote::normal("Ready", "The Machine's Node is ready for work."));
    }
    if before.is_some_and(|before| before.reason == condition.reason) {
        return None;
    }
    let reason = MachineReason::parse(&condition.reason).filter(|reason| PROBLEMS.contains(reason))?;
    Some(EventNote::warning(reason.as_str(), condition.message.clone()))
}

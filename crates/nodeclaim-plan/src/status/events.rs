//! Events that follow from a change of conditions: a stage has a new problem, or the claim became ready. Nothing is
//! reported again while it stays the same.

use kaito_api::conditions::ClaimReason;
use kaito_api::{MachineStatus, NodeClaimStatus};
use plan::Event;

/// Reasons that are worth a warning.
///
/// Having a remedy is not enough: many reasons with one pass by in every launch, such as `NodeNotReady`, and would warn
/// about each healthy node.
const WARNINGS: [ClaimReason; 29] = [
    ClaimReason::SkuNotAvailable,
    ClaimReason::SubscriptionQuotaReached,
    ClaimReason::AllocationFailure,
    ClaimReason::NodeNeverJoined,
    ClaimReason::AuthorizationFailed,
    ClaimReason::ClusterNotFound,
    ClaimReason::InvalidMachine,
    ClaimReason::InvalidNodeClaim,
    ClaimReason::ClaimNameConflict,
    ClaimReason::InvalidRequest,
    ClaimReason::InstanceNameConflict,
    ClaimReason::InstanceFailed,
    ClaimReason::InstanceDeleting,
    ClaimReason::LaunchFailed,
    ClaimReason::MultipleNodesFound,
    ClaimReason::NoAddresses,
    ClaimReason::ClusterFull,
    ClaimReason::ClusterStopped,
    ClaimReason::PolicyDenied,
    ClaimReason::CloudBlocked,
    ClaimReason::InstanceStopped,
    ClaimReason::InstanceNotDeleted,
    ClaimReason::ClusterIdChanged,
    ClaimReason::NodeDeletionHeld,
    ClaimReason::NodeUnhealthy,
    ClaimReason::GpusLost,
    ClaimReason::NodeRepairHeld,
    ClaimReason::NodeRepairForbidden,
    ClaimReason::SpotNodeReclaimed,
];

/// One condition of either kind of claim.
#[derive(Clone, Copy)]
pub(crate) struct ConditionView<'a> {
    type_: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

/// A status whose conditions can be compared.
pub(crate) trait HasConditions {
    /// Returns the conditions in their order.
    fn views(&self) -> Vec<ConditionView<'_>>;
}

impl HasConditions for MachineStatus {
    fn views(&self) -> Vec<ConditionView<'_>> {
        let all = self.conditions.iter();
        all.map(|c| view(&c.type_, &c.status, &c.reason, &c.message))
            .collect()
    }
}

impl HasConditions for NodeClaimStatus {
    fn views(&self) -> Vec<ConditionView<'_>> {
        let all = self.conditions.iter();
        all.map(|c| view(&c.type_, &c.status, &c.reason, &c.message))
            .collect()
    }
}

fn view<'a>(type_: &'a str, status: &'a str, reason: &'a str, message: &'a str) -> ConditionView<'a> {
    ConditionView {
        type_,
        status,
        reason,
        message,
    }
}

/// Returns the events between two lists of conditions of a claim of this kind.
pub(crate) fn between(kind: &str, old: &[ConditionView<'_>], new: &[ConditionView<'_>]) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for condition in new {
        let before = old.iter().find(|c| c.type_ == condition.type_);
        if let Some(event) = event(kind, before, condition)
            && !events.contains(&event)
        {
            events.push(event);
        }
    }
    events
}

fn event(kind: &str, before: Option<&ConditionView<'_>>, condition: &ConditionView<'_>) -> Option<Event> {
    if condition.status == "True" {
        let is_new = before.is_none_or(|before| before.status != "True");
        return (is_new && condition.type_ == "Ready")
            .then(|| Event::normal("Ready", format!("The {kind}'s Node is ready for work.")));
    }
    if before.is_some_and(|before| before.reason == condition.reason) {
        return None;
    }
    let reason = ClaimReason::parse(condition.reason).filter(|reason| WARNINGS.contains(reason))?;
    Some(Event::warning(reason.as_str(), condition.message))
}

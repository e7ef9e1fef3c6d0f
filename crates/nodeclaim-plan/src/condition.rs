//! Condition updates of a claim, before they have the type names of its kind.

use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use plan::text::sentence;

/// Status, reason and message of one stage.
pub(crate) type ConditionUpdate = plan::condition::ConditionUpdate<ClaimReason>;

/// Returns an update for a stage that is not done yet and may still be.
pub(crate) fn pending(reason: ClaimReason, cause: &str) -> ConditionUpdate {
    ConditionUpdate::pending(reason, sentence(cause))
}

/// Returns an update for a stage that has failed as things are. It is looked at again in every reconcile.
pub(crate) fn unmet(reason: ClaimReason, cause: &str) -> ConditionUpdate {
    ConditionUpdate::unmet(reason, sentence(cause))
}

/// Returns the update of `Launched` from the request to the end of the creation, so that one status shows both.
pub(crate) fn requested(instance: &str) -> ConditionUpdate {
    let cause = format!("instance {instance} was requested");
    pending(ClaimReason::InstanceCreating, &cause)
}

/// Returns the update for the stages that follow the launch, for a claim without an instance.
pub(crate) fn not_launched(claim: &Claim) -> ConditionUpdate {
    let cause = format!("the {} is not launched", claim.claim_kind().as_str());
    match claim {
        Claim::Machine(_) => pending(ClaimReason::MachineNotLaunched, &cause),
        Claim::NodeClaim(_) => pending(ClaimReason::AwaitingReconciliation, &cause),
    }
}

/// Returns the condition that the claim's status already has.
pub(crate) fn stored(claim: &Claim, type_: ClaimConditionType) -> ConditionUpdate {
    match claim.condition(type_) {
        Some(condition) => ConditionUpdate {
            status: condition.status,
            reason: ClaimReason::parse(condition.reason),
            message: condition.message.to_owned(),
        },
        None if type_ == ClaimConditionType::Launched => {
            pending(ClaimReason::AwaitingCloud, "the instances are not listed yet")
        }
        None => {
            let cause = format!("the {} is not launched", claim.claim_kind().as_str());
            pending(ClaimReason::AwaitingReconciliation, &cause)
        }
    }
}

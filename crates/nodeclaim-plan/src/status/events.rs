//! Events that follow from a change of conditions: a step's reason became a problem, or the claim became
//! ready. What did not change is not told again.

use kaito_api::conditions::ClaimReason;
use plan::Event;

/// Reasons that a person should hear of.
const PROBLEMS: [ClaimReason; 14] = [
    ClaimReason::SkuNotAvailable,
    ClaimReason::SubscriptionQuotaReached,
    ClaimReason::AllocationFailure,
    ClaimReason::AuthorizationFailed,
    ClaimReason::ClusterNotFound,
    ClaimReason::InvalidMachine,
    ClaimReason::InvalidNodeClaim,
    ClaimReason::ClaimNameConflict,
    ClaimReason::InvalidRequest,
    ClaimReason::AgentPoolNameConflict,
    ClaimReason::AgentPoolFailed,
    ClaimReason::AgentPoolDeleting,
    ClaimReason::LaunchFailed,
    ClaimReason::MultipleNodesFound,
];

/// One condition, of whichever kind of claim.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) type_: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// What happened between two lists of conditions of a claim of this kind.
pub(crate) fn between(kind: &str, old: &[Told<'_>], new: &[Told<'_>]) -> Vec<Event> {
    let mut notes: Vec<Event> = Vec::new();
    for condition in new {
        let before = old.iter().find(|c| c.type_ == condition.type_);
        if let Some(note) = note(kind, before, condition)
            && !notes.contains(&note)
        {
            notes.push(note);
        }
    }
    notes
}

fn note(kind: &str, before: Option<&Told<'_>>, condition: &Told<'_>) -> Option<Event> {
    if condition.status == "True" {
        let news = before.is_none_or(|before| before.status != "True");
        let ready = condition.type_ == "Ready";
        return (news && ready)
            .then(|| Event::normal("Ready", format!("The {kind}'s Node is ready for work.")));
    }
    if before.is_some_and(|before| before.reason == condition.reason) {
        return None;
    }
    let reason = ClaimReason::parse(condition.reason).filter(|reason| PROBLEMS.contains(reason))?;
    Some(Event::warning(reason.as_str(), condition.message.to_owned()))
}

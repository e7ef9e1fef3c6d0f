//! Reports of a provisioner about the launch of a claim.
//!
//! The words of a Karpenter's launch are its provider's. Our remedies for the same words concern Azure, so they must not be
//! shown.

use jiff::{SignedDuration, Timestamp};
use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status, WorkspaceReason};

use crate::condition::AnyReason;
use crate::launch_backoff::last_report;

/// Reason of the Event that a Karpenter has no capacity for a claim. It deletes the claim.
pub(crate) const CAPACITY: &str = "InsufficientCapacityError";
/// Most bytes of the provisioner's words.
pub(crate) const MESSAGE: usize = 300;
/// Age at which a claim that fails to launch is withdrawn; Karpenter has tried a few times by then.
///
/// A Karpenter provisions nothing for pods while one of its claims has no instance. So a claim that cannot launch must not
/// stay: it is withdrawn, and created again after a pause that grows.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);

/// Time for which an instance without a Node lives at least before its end counts as that of a Node that never joined. A
/// Karpenter gives such a claim up after 15 minutes.
const UNJOINED: SignedDuration = SignedDuration::from_mins(10);

/// Returns true if another provisioner than a gpu-provisioner serves the claim.
pub(crate) fn is_foreign(claim: &Claim) -> bool {
    claim.node_class().is_some_and(|class| !class.is_kaito())
}

/// Returns the report of a failed launch of a Karpenter's claim.
pub(crate) fn launch_failure(claim: &Claim) -> Option<String> {
    let launched = claim.condition(ClaimConditionType::Launched)?;
    let has_failed = is_foreign(claim) && launched.status != Status::True && claim.provider_id().is_empty();
    has_failed.then(|| last_report(claim)).flatten()
}

/// Returns true if a Karpenter's claim fails to launch for so long that it is given up.
pub(crate) fn has_lasted(claim: &Claim, now: Timestamp) -> bool {
    launch_failure(claim)
        .and_then(|_| due(claim))
        .is_some_and(|due| due <= now)
}

/// Returns the words about a Karpenter's claim that is gone, if its instance ran for long and no Node joined.
pub(crate) fn never_joined(claim: &Claim, now: Timestamp) -> Option<String> {
    let launched = claim.condition(ClaimConditionType::Launched)?;
    let since = launched.since.filter(|_| launched.status == Status::True)?;
    let deleted = claim.metadata().deletion_timestamp.as_ref();
    let lived = deleted.map_or(now, |time| time.0).duration_since(since);
    let is_unjoined =
        is_foreign(claim) && !claim.is_true(ClaimConditionType::Registered) && lived >= UNJOINED;
    is_unjoined.then(|| last_report(claim).unwrap_or_else(|| "no Node joined".to_owned()))
}

/// Time at which a claim that fails to launch is given up.
pub(crate) fn due(claim: &Claim) -> Option<Timestamp> {
    let since = claim.condition(ClaimConditionType::Launched)?.since?;
    Some(since.saturating_add(PATIENCE).unwrap_or(since))
}

/// Returns the words of a Karpenter's Event without the name of the claim, with which they begin.
pub(crate) fn words(message: &str) -> &str {
    message.split_once(" event: ").map_or(message, |(_, rest)| rest)
}

/// Returns the reason and the words with which the provisioner refuses the claim's type; `None` for every other claim.
pub(crate) fn refusal(claim: &Claim) -> Option<(AnyReason, String)> {
    if is_foreign(claim) {
        let report = launch_failure(claim)?;
        return Some((WorkspaceReason::NodeClaimNotLaunched.into(), report));
    }
    let launched = claim.condition(ClaimConditionType::Launched)?;
    let reason = ClaimReason::parse(launched.reason)?;
    let is_about_type = matches!(
        reason,
        ClaimReason::AllocationFailure
            | ClaimReason::SubscriptionQuotaReached
            | ClaimReason::SkuNotAvailable
            | ClaimReason::NodeNeverJoined
    );
    let words = launched.message.trim();
    let words = words.strip_suffix(reason.remedy()).unwrap_or(words).trim_end();
    (is_about_type && launched.status != Status::True)
        .then(|| (reason.into(), plan::text::cut(words, MESSAGE)))
}

//! Problems of claims whose provisioner is another's: what a Karpenter reports, and when its claim is withdrawn.
//!
//! The words of a Karpenter's launch are its provider's. Our remedies for the same words concern Azure, so they must not be
//! shown.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, Status};

use crate::context::PlanContext;
use crate::launch_backoff::{LaunchBackoff, last_report};
use crate::metadata::is_live;
use crate::warnings;

/// Age at which a claim that fails to launch is withdrawn; Karpenter has tried a few times by then.
///
/// A Karpenter provisions nothing for pods while one of its claims has no instance. So a claim that cannot launch must not
/// stay: it is withdrawn, and created again after a pause that grows.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);

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

/// Returns true if the claim is to be withdrawn, because it fails to launch for so long.
pub(crate) fn is_overdue(context: &PlanContext<'_>, claim: &Claim) -> bool {
    patience_left(context, claim).is_some_and(|left| left.is_zero())
}

/// Time until a live claim that fails to launch is withdrawn; `None` for every other claim.
pub(crate) fn patience_left(context: &PlanContext<'_>, claim: &Claim) -> Option<Duration> {
    launch_failure(claim).filter(|_| is_live(claim.metadata()))?;
    Some(Duration::try_from(due(claim)?.duration_since(context.now)).unwrap_or_default())
}

/// Returns true if a Karpenter's claim fails to launch for so long that it is given up.
pub(crate) fn has_lasted(claim: &Claim, now: Timestamp) -> bool {
    launch_failure(claim)
        .and_then(|_| due(claim))
        .is_some_and(|due| due <= now)
}

fn due(claim: &Claim) -> Option<Timestamp> {
    let since = claim.condition(ClaimConditionType::Launched)?.since?;
    Some(since.saturating_add(PATIENCE).unwrap_or(since))
}

/// Returns the words of a Karpenter's Event without the name of the claim, with which they begin.
pub(crate) fn words(message: &str) -> &str {
    message.split_once(" event: ").map_or(message, |(_, rest)| rest)
}

/// Returns why a claim is gone: the Event of its provisioner, else its last report.
pub(crate) fn lost_cause(context: &PlanContext<'_>, backoff: &LaunchBackoff) -> String {
    let event = warnings::about_uid(context, &backoff.uid).into_iter().next();
    match event {
        Some((reason, message)) => format!("{reason}: {}", words(message)),
        None if backoff.cause.is_empty() => "its provisioner gave no reason".to_owned(),
        None => backoff.cause.clone(),
    }
}

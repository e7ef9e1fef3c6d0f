//! Problems of claims whose provisioner is another's: what a Karpenter reports, and when its claim is withdrawn.

use std::time::Duration;

use kaito_api::Claim;

use crate::context::PlanContext;
use crate::launch_backoff::LaunchBackoff;
use crate::launch_report;
use crate::metadata::is_live;
use crate::warnings;

/// Returns true if the claim is to be withdrawn, because it fails to launch for so long.
pub(crate) fn is_overdue(context: &PlanContext<'_>, claim: &Claim) -> bool {
    patience_left(context, claim).is_some_and(|left| left.is_zero())
}

/// Time until a live claim that fails to launch is withdrawn; `None` for every other claim.
pub(crate) fn patience_left(context: &PlanContext<'_>, claim: &Claim) -> Option<Duration> {
    launch_report::launch_failure(claim).filter(|_| is_live(claim.metadata()))?;
    Some(Duration::try_from(launch_report::due(claim)?.duration_since(context.now)).unwrap_or_default())
}

/// Returns why a claim is gone: the Event of its provisioner, else its last report.
pub(crate) fn lost_cause(context: &PlanContext<'_>, backoff: &LaunchBackoff) -> String {
    let event = warnings::about_uid(context, &backoff.uid).into_iter().next();
    match event {
        Some((reason, message)) => format!("{reason}: {}", launch_report::words(message)),
        None if backoff.cause.is_empty() => "its provisioner gave no reason".to_owned(),
        None => backoff.cause.clone(),
    }
}

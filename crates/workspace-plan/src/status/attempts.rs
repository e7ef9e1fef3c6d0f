//! The attempts to get nodes that failed or were left out: each is a line of the status, and the last ones are kept.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::Claim;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::workspace_status::LaunchAttempt;
use plan::condition::ConditionReason as _;

use crate::claim_problem;
use crate::claims;
use crate::condition::AnyReason;
use crate::context::PlanContext;
use crate::desired::LeftOut;
use crate::launch_report::{MESSAGE, refusal};
use crate::rung;

/// Most attempts in a status.
const KEPT: usize = 10;

/// Returns the attempts of the old status and the new ones.
pub(super) fn of(context: &PlanContext<'_>, left_out: &[LeftOut]) -> Vec<LaunchAttempt> {
    let mut all = context
        .status()
        .map_or_else(Vec::new, |status| status.attempts.clone());
    if !context.creates_nodes() {
        return all;
    }
    for claim in claims::own(context) {
        all.extend(of_claim(context, claim, &all));
    }
    let born = context.workspace().metadata.creation_timestamp.as_ref();
    // An earlier Workspace of this name may have lost claims too.
    let lost = context.observed.launch_backoffs.iter();
    let lost = lost.filter(|(_, backoff)| born.is_none_or(|born| born.0 <= backoff.created_at));
    for (name, backoff) in lost {
        let Some(instance_type) = backoff.offer.as_ref().map(|offer| offer.instance_type.clone()) else {
            continue;
        };
        let time = seconds(backoff.failed_at);
        let is_known =
            |attempt: &LaunchAttempt| attempt.claim == *name && attempt.time.0 >= seconds(backoff.created_at);
        if !all.iter().any(is_known) {
            let cause = claim_problem::lost_cause(context, backoff);
            all.push(attempt(
                time,
                instance_type,
                name,
                WorkspaceReason::NodeClaimLost.into(),
                &cause,
            ));
        }
    }
    for (rung, found) in rung::left_out(context) {
        let since = seconds(found.since);
        let is_known = |attempt: &LaunchAttempt| {
            attempt.instance_type.eq_ignore_ascii_case(rung) && attempt.time.0 >= since
        };
        if !all.iter().any(is_known) {
            all.push(attempt(since, rung.to_owned(), "", found.reason, &found.message));
        }
    }
    for found in left_out {
        let reason = found.problem.reason;
        // The numbers change with every use of the quota, and one line says enough.
        let is_known = |attempt: &LaunchAttempt| {
            attempt.instance_type.eq_ignore_ascii_case(&found.rung)
                && attempt.claim.is_empty()
                && attempt.reason == reason.as_str()
        };
        if !all.iter().any(is_known) {
            let time = seconds(context.now);
            all.push(attempt(
                time,
                found.rung.clone(),
                "",
                reason,
                &found.problem.cause,
            ));
        }
    }
    all.drain(..all.len().saturating_sub(KEPT));
    all
}

/// The attempt of a claim whose type is refused, unless it is known. A claim that is refused for several reasons has several.
fn of_claim(context: &PlanContext<'_>, claim: &Claim, known: &[LaunchAttempt]) -> Option<LaunchAttempt> {
    let (reason, message) = refusal(claim)?;
    let instance_type = claim.instance_type()?;
    let created = claim.metadata().creation_timestamp.as_ref()?.0;
    let is_known = |attempt: &&LaunchAttempt| {
        attempt.claim == claim.name() && attempt.reason == reason.as_str() && attempt.time.0 >= created
    };
    let time = seconds(context.now.max(created));
    let new = attempt(time, instance_type.to_owned(), claim.name(), reason, &message);
    known.iter().find(is_known).is_none().then_some(new)
}

fn attempt(
    time: Timestamp,
    instance_type: String,
    claim: &str,
    reason: AnyReason,
    message: &str,
) -> LaunchAttempt {
    LaunchAttempt {
        time: Time(time),
        instance_type,
        claim: claim.to_owned(),
        reason: reason.as_str().to_owned(),
        message: plan::text::cut(message, MESSAGE),
    }
}

/// The API server stores no fractions.
fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

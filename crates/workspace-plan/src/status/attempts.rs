//! The attempts to get nodes that failed or were left out: each is a line of the status.
//!
//! The lines about what is refused now are kept, and of the others the last ones.

use std::collections::BTreeSet;

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
    let stored = context
        .status()
        .map_or_else(Vec::new, |status| status.attempts.clone());
    if !context.creates_nodes() {
        return stored;
    }
    let mut lines = Lines {
        all: stored,
        current: BTreeSet::new(),
    };
    for claim in claims::own(context) {
        lines.add_claim(context, claim);
    }
    lines.add_lost(context);
    lines.add_left_out(context, left_out);
    lines.kept()
}

/// Lines of a status, the oldest first.
struct Lines {
    all: Vec<LaunchAttempt>,
    /// Places of the lines about what is refused now.
    current: BTreeSet<usize>,
}

impl Lines {
    /// Adds the line unless one is known, and marks it as current.
    fn add(&mut self, is_known: impl Fn(&LaunchAttempt) -> bool, new: impl FnOnce() -> LaunchAttempt) {
        let next = self.all.len();
        let known = self.all.iter().position(is_known);
        if known.is_none() {
            self.all.push(new());
        }
        self.current.insert(known.unwrap_or(next));
    }

    /// A claim whose type is refused. One that is refused for several reasons has several lines.
    fn add_claim(&mut self, context: &PlanContext<'_>, claim: &Claim) {
        let refused = refusal(claim).zip(claim.instance_type());
        let created = claim.metadata().creation_timestamp.as_ref();
        let (Some(((reason, message), instance_type)), Some(created)) = (refused, created) else {
            return;
        };
        let is_known = |attempt: &LaunchAttempt| {
            attempt.claim == claim.name() && attempt.reason == reason.as_str() && attempt.time.0 >= created.0
        };
        let time = seconds(context.now.max(created.0));
        self.add(is_known, || {
            attempt(time, instance_type.to_owned(), claim.name(), reason, &message)
        });
    }

    /// Claims that their provisioner took back.
    fn add_lost(&mut self, context: &PlanContext<'_>) {
        let born = context.workspace().metadata.creation_timestamp.as_ref();
        // An earlier Workspace of this name may have lost claims too.
        let lost = context.observed.launch_backoffs.iter();
        let lost = lost.filter(|(_, backoff)| born.is_none_or(|born| born.0 <= backoff.created_at));
        for (name, backoff) in lost {
            let Some(instance_type) = backoff.offer.as_ref().map(|offer| offer.instance_type.clone()) else {
                continue;
            };
            let is_known = |attempt: &LaunchAttempt| {
                attempt.claim == *name && attempt.time.0 >= seconds(backoff.created_at)
            };
            self.add(is_known, || {
                let cause = claim_problem::lost_cause(context, backoff);
                let reason = WorkspaceReason::NodeClaimLost.into();
                attempt(seconds(backoff.failed_at), instance_type, name, reason, &cause)
            });
        }
    }

    /// Types that are not asked for.
    fn add_left_out(&mut self, context: &PlanContext<'_>, left_out: &[LeftOut]) {
        for (rung, found) in rung::left_out(context) {
            let since = seconds(found.since);
            let is_known = |attempt: &LaunchAttempt| {
                attempt.instance_type.eq_ignore_ascii_case(rung) && attempt.time.0 >= since
            };
            self.add(is_known, || {
                attempt(since, rung.to_owned(), "", found.reason, &found.message)
            });
        }
        for found in left_out {
            let reason = found.problem.reason;
            // The numbers change with every use of the quota, and one line says enough.
            let is_known = |attempt: &LaunchAttempt| {
                attempt.instance_type.eq_ignore_ascii_case(&found.rung)
                    && attempt.claim.is_empty()
                    && attempt.reason == reason.as_str()
            };
            let time = seconds(context.now);
            self.add(is_known, || {
                attempt(time, found.rung.clone(), "", reason, &found.problem.cause)
            });
        }
    }

    /// The lines that a status has room for.
    ///
    /// A line about what is refused now stays. If it went, the next plan would add it again, and no status would ever be the
    /// last one. So of more lines the first ones stay, but every type and reason has one.
    fn kept(self) -> Vec<LaunchAttempt> {
        let mut seen = BTreeSet::new();
        let rank = |(place, line): (usize, &LaunchAttempt)| {
            let kind = (line.instance_type.to_lowercase(), line.reason.clone());
            if !self.current.contains(&place) {
                (Rank::Past, self.all.len() - place, place)
            } else if seen.insert(kind) {
                (Rank::FirstOfItsKind, place, place)
            } else {
                (Rank::Current, place, place)
            }
        };
        let mut places: Vec<(Rank, usize, usize)> = self.all.iter().enumerate().map(rank).collect();
        places.sort_unstable();
        let kept: BTreeSet<usize> = places.into_iter().take(KEPT).map(|(.., place)| place).collect();
        let all = self.all.into_iter().enumerate();
        all.filter(|(place, _)| kept.contains(place))
            .map(|(_, line)| line)
            .collect()
    }
}

/// Importance of a line, the highest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    FirstOfItsKind,
    Current,
    Past,
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

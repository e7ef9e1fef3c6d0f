//! Claims that their provisioner took back: they are asked for again, but not at once, or a cloud without capacity would
//! be asked for ever as fast as it answers.

use std::time::Duration;

use jiff::SignedDuration;

use crate::observed::Lost;
use crate::subject::Subject;

/// Pause after the first loss; doubled at each further one in a row.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// Longest pause.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// How long the claim of this name is not asked for yet.
pub(crate) fn pause(subject: &Subject<'_>, name: &str) -> Option<Duration> {
    remaining(subject, *subject.observed.lost.get(name)?)
}

/// When the first of the pauses is over.
pub(crate) fn next(subject: &Subject<'_>) -> Option<Duration> {
    let all = subject.observed.lost.values();
    all.filter_map(|lost| remaining(subject, *lost)).min()
}

fn remaining(subject: &Subject<'_>, lost: Lost) -> Option<Duration> {
    let doublings = lost.times.saturating_sub(1).min(16);
    let pause = FIRST.saturating_mul(1_i32 << doublings).min(LONGEST);
    let due = lost.at.saturating_add(pause).unwrap_or(lost.at);
    let left = due.duration_since(subject.now);
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

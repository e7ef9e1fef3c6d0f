//! Workloads that were never ready: they take a new rendering at once, since nothing that serves is hurt.
//!
//! A revision carries a mark from the time at which it is applied until it is ready. So a restart of this program
//! changes nothing, and a revision that was recorded again after a loss counts as one that served.

use super::revisions::Revision;
use super::situation::{Choice, Situation};

/// Returns true if the current revision may be replaced unasked: it was never ready, and no server is ready.
pub(super) fn may_replace(situation: &Situation<'_>) -> bool {
    let current = situation.current();
    let was_never = current.is_some_and(|current| current.never_ready.is_some());
    let serves = situation
        .context
        .workload
        .is_some_and(|workload| workload.has_ready_server());
    was_never && !serves && situation.may_follow()
}

/// Returns the revision that runs and became ready, although another was recorded in its place before.
pub(super) fn became_ready<'a>(situation: &'a Situation<'_>) -> Option<&'a Revision> {
    let replaced = replaced(situation)?;
    let workload = situation.context.workload?;
    workload.has_ready_server().then_some(replaced)
}

/// Returns the version of the workload on which the replacement depends: its pods must not have become ready since.
pub(super) fn expected_version(situation: &Situation<'_>, mark: Option<i64>) -> Option<String> {
    let running = situation.running_number()?;
    let workload = situation.context.workload?;
    let version = workload.metadata().resource_version.clone();
    version.filter(|_| mark == Some(running))
}

/// The mark of the revision with this digest.
pub(super) fn mark(situation: &Situation<'_>, choice: &Choice, digest: &str) -> Option<i64> {
    let is_chosen = |revision: &&Revision| revision.digest == digest;
    let runs = situation.running().filter(is_chosen).is_some();
    let workload = situation.context.workload;
    if runs && workload.is_some_and(|workload| workload.has_updated_server()) {
        return None;
    }
    match (choice, situation.current()) {
        (_, Some(current)) if current.digest == digest => current.never_ready,
        (Choice::Running, _) => None,
        (Choice::Instead, Some(current)) => {
            let running = replaced(situation).unwrap_or(current);
            Some(running.number)
        }
        _ => Some(0),
    }
}

/// The revision that runs, if the current one was recorded in its place unasked.
fn replaced<'a>(situation: &'a Situation<'_>) -> Option<&'a Revision> {
    let of = situation.current()?.never_ready?;
    situation.running().filter(|running| running.number == of)
}

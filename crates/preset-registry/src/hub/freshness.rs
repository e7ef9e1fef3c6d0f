//! Time for which an answer of the hub is used without asking again.

use std::time::Duration;

use super::problem::HubProblem;

/// Time for which a preset is used without asking the hub.
const FRESH: Duration = Duration::from_secs(600);
/// Time for which a refusal is repeated: the user may have resolved it by then.
const REFUSED_FRESH: Duration = Duration::from_secs(30);
/// Time without requests to a hub that failed.
const FAILED_FRESH: Duration = Duration::from_secs(5);

/// Returns the time for an answer.
pub(super) fn freshness<T>(answer: &Result<T, HubProblem>) -> Duration {
    match answer {
        Ok(_) => FRESH,
        Err(HubProblem::Limited { retry_after }) => retry_after.unwrap_or(FAILED_FRESH),
        Err(problem) if problem.is_transient() => FAILED_FRESH,
        Err(_) => REFUSED_FRESH,
    }
}

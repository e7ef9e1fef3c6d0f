//! The time for which the nodes of an ended tuning stay.

use std::time::Duration;

use jiff::Timestamp;

use crate::context::PlanContext;

/// Time until the nodes of an ended tuning are given back. `None` if they are kept, or it has not ended.
pub(crate) fn remaining(context: &PlanContext<'_>) -> Option<Duration> {
    let retention = context.settings.tuning_node_retention.time()?;
    if !context.creates_nodes() {
        return None;
    }
    let due = ended_at(context)?.saturating_add(retention).ok()?;
    Some(Duration::try_from(due.duration_since(context.now)).unwrap_or_default())
}

/// Time at which the Job ended. The Job is not over while its pods still end.
fn ended_at(context: &PlanContext<'_>) -> Option<Timestamp> {
    let status = context.job()?.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let ended = conditions.find(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    })?;
    let at = ended
        .last_transition_time
        .as_ref()
        .or(status.completion_time.as_ref());
    at.map(|at| at.0)
}

/// Returns true if the nodes are due.
pub(crate) fn is_due(context: &PlanContext<'_>) -> bool {
    remaining(context).is_some_and(|remaining| remaining.is_zero())
}

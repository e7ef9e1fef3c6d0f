//! A tuning that has ended: its nodes are given back after a while. The Workspace keeps its state, and nothing is made
//! again for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::WorkspaceReason;
use plan::Plan;

use crate::build;
use crate::claims;
use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::metadata::is_live;
use crate::node_set::NodeSet;
use crate::status::{self, StatusReport};

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

/// Plans the deletion of the claims.
pub(crate) fn plan(context: &PlanContext<'_>) -> Plan {
    let mut plan = Plan {
        writes: build::delete_orphaned_claims(context),
        ..Plan::default()
    };
    let live = claims::own(context).filter(|claim| is_live(claim.metadata()));
    plan.writes.extend(live.map(build::delete_claim));
    let given_back = ConditionUpdate::met(
        WorkspaceReason::NodesGivenBack,
        "The tuning has ended, and its nodes were given back.",
    );
    plan.add_reason("nodes_given_back", &given_back.message);
    let nodes = NodeSet::none(given_back.clone());
    let report = StatusReport::new(context, given_back, Some(nodes));
    status::report(context, &report, &mut plan);
    plan
}

/// Time for which the nodes of an ended tuning stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRetention {
    /// They stay until the Workspace is deleted.
    Keep,
    /// They stay for this time.
    For(SignedDuration),
}

impl NodeRetention {
    fn time(self) -> Option<SignedDuration> {
        match self {
            Self::Keep => None,
            Self::For(time) => Some(time),
        }
    }
}

impl Default for NodeRetention {
    fn default() -> Self {
        Self::For(SignedDuration::from_mins(10))
    }
}

impl std::str::FromStr for NodeRetention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "keep" {
            return Ok(Self::Keep);
        }
        let time = text.parse::<SignedDuration>().ok();
        time.filter(|time| !time.is_negative())
            .map(Self::For)
            .ok_or_else(|| "must be `keep` or a duration, such as 10m".to_owned())
    }
}

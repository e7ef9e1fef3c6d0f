//! A tuning that has ended: its nodes are given back after a while. The Workspace keeps its state, and nothing is made
//! again for it.

use kaito_api::conditions::WorkspaceReason;
use plan::Plan;

use crate::build;
use crate::claims;
use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::metadata::is_live;
use crate::node_set::NodeSet;
use crate::status::{self, StatusReport};
use crate::validate;

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
    let edited = validate::edited_tuning(context);
    let report = StatusReport::new(context, given_back, Some(nodes)).noting(edited);
    status::report(context, &report, &mut plan);
    plan
}

//! The offerings that were bought: capacity types and zones of the instances of a Workspace.

use std::collections::BTreeMap;

use kaito_api::conditions::ClaimConditionType;
use kaito_api::labels;
use kaito_api::workspace_status::BoughtOffering;

use crate::claims;
use crate::context::PlanContext;
use crate::metadata::{is_live, label};

/// Returns what was bought, as the Nodes say it, or the claims while there is no Node.
pub(super) fn of(context: &PlanContext<'_>) -> Vec<BoughtOffering> {
    let mut counts: BTreeMap<(String, String), i32> = BTreeMap::new();
    let launched = claims::own(context)
        .filter(|claim| is_live(claim.metadata()) && claim.is_true(ClaimConditionType::Launched));
    for claim in launched {
        let node = context.nodes.get(claim.node_name());
        let of_node = |key: &str| node.and_then(|node| label(&node.metadata, key));
        let Some(bought) = of_node(labels::CAPACITY_TYPE).or(claim.capacity_type()) else {
            continue;
        };
        let zone = of_node(labels::ZONE).or(claim.zone()).unwrap_or_default();
        let count = counts.entry((bought.to_owned(), zone.to_owned())).or_default();
        *count = count.saturating_add(1);
    }
    let offering = |((capacity_type, zone), nodes)| BoughtOffering {
        capacity_type,
        zone,
        nodes,
    };
    counts.into_iter().map(offering).collect()
}

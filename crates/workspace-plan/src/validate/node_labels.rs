//! The labels of the selector, which new nodes get. The API server rejects those of others; here they are rejected again,
//! for Workspaces that were stored without the policy.

use kaito_api::node_labels::may_label_nodes;
use kaito_api::selector;

use crate::context::PlanContext;
use crate::problem::Problem;

/// Checks that every label may be put on nodes.
pub(super) fn check(context: &PlanContext<'_>) -> Result<(), Problem> {
    let resource = context.workspace().spec.resource.as_ref();
    let labels = resource.map(|resource| selector::labels(&resource.label_selector));
    let keys = labels.iter().flat_map(|labels| labels.keys());
    let foreign: Vec<&str> = keys
        .map(String::as_str)
        .filter(|key| !may_label_nodes(key))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "resource.labelSelector has labels that users cannot put on nodes: {}",
        foreign.join(", ")
    )))
}

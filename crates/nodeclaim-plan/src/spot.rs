//! Spot capacity that the cloud takes back. Its notice is short, so the claim is given up at once, and nothing holds that:
//! the cloud takes the Node anyway.

use cloudprovider::{CloudCall, InstanceState, SpotMarks};
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::ClaimReason;
use kube::ResourceExt as _;
use plan::Plan;

use crate::context::PlanContext;
use crate::give_up;
use crate::instance::InstanceView;
use crate::node::facts::{conditions, is_ready, taints};

/// Returns true if the Node has spot capacity.
pub(crate) fn is_spot(marks: &SpotMarks, node: &Node) -> bool {
    let has = |(key, value): &(&str, &str)| node.labels().get(*key).is_some_and(|own| own == value);
    marks.labels.iter().any(has)
}

/// Returns true if the cloud announces that it takes the Node back.
pub(crate) fn has_notice(marks: &SpotMarks, node: &Node) -> bool {
    let announces = |(type_, start): &(&str, &str)| {
        conditions(node).iter().any(|condition| {
            let message = condition.message.as_deref().unwrap_or_default();
            condition.type_ == *type_ && condition.status == "True" && message.starts_with(start)
        })
    };
    let is_tainted = |(key, value): &(&str, &str)| {
        taints(node)
            .iter()
            .any(|taint| taint.key == *key && taint.value.as_deref() == Some(value))
    };
    marks.notices.iter().any(announces) || marks.taints.iter().any(is_tainted)
}

/// Returns the claim's Node, if it is about to be taken back.
pub(crate) fn announced<'a>(context: &PlanContext<'a>) -> Option<&'a Node> {
    let InstanceView::Owned(instance) = context.instance else {
        return None;
    };
    let marks = &context.settings.spot_marks;
    let is_going = |node: &&Node| is_spot(marks, node) && has_notice(marks, node);
    let found = context.own_nodes.iter().copied().find(is_going);
    found.filter(|_| instance.state != InstanceState::Deleting)
}

/// Returns true if a deleted Node was taken back although no notice was seen. Its kubelet is silent, and the cloud deletes only
/// Nodes whose machine is gone.
pub(crate) fn was_taken(context: &PlanContext<'_>, node: &Node) -> bool {
    is_spot(&context.settings.spot_marks, node) && !is_ready(node)
}

/// Deletes the claim. What is still on the Node gets the time that the notice leaves.
pub(crate) fn plan(context: &PlanContext<'_>, node: &Node) -> Plan<CloudCall> {
    let cause = format!(
        "the cloud takes the spot capacity of Node {} back",
        node.name_any()
    );
    give_up::plan(context, ClaimReason::SpotNodeReclaimed, give_up::SPOT, &cause)
}

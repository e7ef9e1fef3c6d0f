//! The search for a sign of a rule on a Node. Looks only.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::NVIDIA_GPU;
use kaito_api::{Claim, quantity};
use kube::ResourceExt as _;

use crate::node::facts::{conditions, taints};
use crate::repair::rule::{RepairRule, RepairRules, Sign};

/// Stable words for metrics, one for each kind of sign.
pub(crate) const NOT_READY: &str = "node_not_ready";
pub(crate) const CONDITION: &str = "node_condition";
pub(crate) const TAINTED: &str = "node_tainted";
pub(crate) const GPUS_LOST: &str = "gpus_lost";

/// A sign that a Node shows.
pub(crate) struct Symptom<'a> {
    /// The rule that it breaks.
    pub(crate) rule: &'a RepairRule,
    /// Earliest begin of the sign, as the Node dates it.
    pub(crate) since: Option<Timestamp>,
    /// The sign for people.
    pub(crate) text: String,
    /// Reason of the claim's condition while the sign lasts.
    pub(crate) reason: ClaimReason,
    /// Stable word for metrics.
    pub(crate) code: &'static str,
}

/// Returns the first sign that the claim's Node shows, in the order of the rules.
pub(crate) fn first<'a>(rules: &'a RepairRules, node: &Node, claim: &Claim) -> Option<Symptom<'a>> {
    rules.iter().find_map(|rule| match &rule.sign {
        Sign::Condition { type_, status } => {
            let found = conditions(node)
                .iter()
                .find(|condition| condition.type_ == *type_ && condition.status == *status)?;
            Some(of_condition(rule, found))
        }
        Sign::Taint { key, value } => {
            let is_meant = |taint: &&Taint| {
                let own = taint.value.as_deref().unwrap_or_default();
                taint.key == *key && value.as_ref().is_none_or(|value| value == own)
            };
            taints(node).iter().find(is_meant).map(|taint| Symptom {
                rule,
                since: None,
                text: format!("it has the taint {}", taint.key),
                reason: ClaimReason::NodeUnhealthy,
                code: TAINTED,
            })
        }
        Sign::GpusLost => lost_gpus(node, claim).map(|(had, has)| Symptom {
            rule,
            // The device plugin of a Node that came back gets the whole time.
            since: ready(node).and_then(begin),
            text: format!("it offers {has} of {had} {NVIDIA_GPU}"),
            reason: ClaimReason::GpusLost,
            code: GPUS_LOST,
        }),
    })
}

fn of_condition<'a>(rule: &'a RepairRule, condition: &NodeCondition) -> Symptom<'a> {
    let detail = condition.reason.as_deref().filter(|reason| !reason.is_empty());
    let detail = detail.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let is_ready = condition.type_ == "Ready";
    Symptom {
        rule,
        since: begin(condition),
        text: format!(
            "its condition {} is {}{detail}",
            condition.type_, condition.status
        ),
        reason: ClaimReason::NodeUnhealthy,
        code: if is_ready { NOT_READY } else { CONDITION },
    }
}

fn begin(condition: &NodeCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|time| time.0)
}

fn ready(node: &Node) -> Option<&NodeCondition> {
    conditions(node)
        .iter()
        .find(|condition| condition.type_ == "Ready")
}

/// Returns the number of GPUs that the Node once had, and the lower one that it offers.
fn lost_gpus(node: &Node, claim: &Claim) -> Option<(u128, u128)> {
    let had = (claim.node_name() == node.name_any())
        .then(|| claim.capacity(NVIDIA_GPU))
        .flatten()
        .and_then(|quantity| quantity::ceil_units(&quantity.0))?;
    let offered = node.status.as_ref()?.allocatable.as_ref();
    let has = offered
        .and_then(|all| all.get(NVIDIA_GPU))
        .and_then(|quantity| quantity::ceil_units(&quantity.0))
        .unwrap_or_default();
    (has < had).then_some((had, has))
}

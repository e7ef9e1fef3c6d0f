//! What a pass has to say of a claim, before it has the shape of either kind. The status is computed whole on every pass
//! and written only when it differs; how conditions follow from steps is the kind's business.

pub(crate) mod conditions;
mod events;
mod machine;
mod node_claim;

use std::collections::BTreeMap;

use cloudprovider::CloudCall;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kaito_api::Claim;
use kaito_api::claim::ClaimCondition;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use kaito_api::labels::NVIDIA_GPU;
use kube::ResourceExt as _;
use plan::Plan;

use crate::context::Ctx;
use crate::ownership::provider_id;
use crate::status::conditions::ConditionUpdate;

/// Resources that are copied from the Node; the others say nothing about a claim.
const COPIED: [&str; 5] = ["cpu", "memory", "pods", "ephemeral-storage", NVIDIA_GPU];

/// What one pass has to say.
pub(crate) struct Report<'a> {
    /// Launched, registered, initialized.
    pub(crate) steps: [ConditionUpdate; 3],
    /// Where the Node's facts come from.
    pub(crate) facts: NodeFacts<'a>,
}

/// Where name, provider id and resources of the Node come from.
pub(crate) enum NodeFacts<'a> {
    /// There is no Node.
    None,
    /// From the stored status.
    AsBefore,
    /// From this Node.
    Of(&'a Node),
}

/// Name, provider id and resources of a Node.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) node_name: String,
    pub(crate) provider_id: String,
    pub(crate) capacity: BTreeMap<String, Quantity>,
    pub(crate) allocatable: BTreeMap<String, Quantity>,
}

impl Facts {
    pub(crate) fn of(node: &Node) -> Self {
        let status = node.status.as_ref();
        Self {
            node_name: node.name_any(),
            provider_id: provider_id(node).unwrap_or_default().to_owned(),
            capacity: copied(status.and_then(|status| status.capacity.as_ref())),
            allocatable: copied(status.and_then(|status| status.allocatable.as_ref())),
        }
    }
}

/// Puts the status of a live claim and its events into the plan.
pub(crate) fn conclude(ctx: &Ctx<'_>, report: Report<'_>, plan: &mut Plan<CloudCall>) {
    match ctx.claim {
        Claim::Machine(machine) => machine::conclude(ctx, machine, report, None, plan),
        Claim::NodeClaim(claim) => node_claim::conclude(ctx, claim, &report, None, plan),
    }
}

/// Puts the status of a claim that is going into the plan: the steps stay as they were. `holding` is what it waits for.
pub(crate) fn conclude_going(ctx: &Ctx<'_>, holding: ConditionUpdate, plan: &mut Plan<CloudCall>) {
    let report = Report {
        steps: steps_as_before(ctx),
        facts: NodeFacts::AsBefore,
    };
    match ctx.claim {
        Claim::Machine(machine) => machine::conclude(ctx, machine, report, Some(holding), plan),
        Claim::NodeClaim(claim) => node_claim::conclude(ctx, claim, &report, Some(&holding), plan),
    }
}

/// The steps as the stored status has them.
pub(crate) fn steps_as_before(ctx: &Ctx<'_>) -> [ConditionUpdate; 3] {
    ClaimConditionType::STEPS.map(|kind| match ctx.claim.condition(kind) {
        Some(condition) => as_before(condition),
        None if kind == ClaimConditionType::Launched => {
            conditions::waiting(ClaimReason::AwaitingCloud, "the agent pools are not listed yet")
        }
        None => {
            let cause = format!("the {} is not launched", ctx.kind());
            conditions::waiting(ClaimReason::AwaitingReconciliation, &cause)
        }
    })
}

/// The later steps of a claim that has no instance.
pub(crate) fn not_launched(claim: &Claim) -> ConditionUpdate {
    let cause = format!("the {} is not launched", claim.claim_kind().as_str());
    match claim {
        Claim::Machine(_) => conditions::waiting(ClaimReason::MachineNotLaunched, &cause),
        Claim::NodeClaim(_) => conditions::waiting(ClaimReason::AwaitingReconciliation, &cause),
    }
}

fn as_before(condition: ClaimCondition<'_>) -> ConditionUpdate {
    ConditionUpdate {
        status: condition.status,
        reason: ClaimReason::parse(condition.reason),
        message: condition.message.to_owned(),
    }
}

fn copied(all: Option<&BTreeMap<String, Quantity>>) -> BTreeMap<String, Quantity> {
    let all = all.into_iter().flatten();
    all.filter(|(name, _)| COPIED.contains(&name.as_str()))
        .map(|(n, q)| (n.clone(), q.clone()))
        .collect()
}

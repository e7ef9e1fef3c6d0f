//! The status of a NodeClaim, from what a pass has to say.
//!
//! Karpenter's algebra: a step that is not done is `Unknown`, and `False` only where it cannot heal by itself; `Ready` is
//! `True` when all steps are, `False` when one is, else `Unknown`, and lists those that are not done. Every condition says
//! of which generation it is. What a claim that is going waits for has conditions of its own, beside the steps.

use cloudprovider::CloudCall;
use kaito_api::claim::ClaimKind;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status, node_claim_condition};
use kaito_api::node_claim_status::{DRAINED, INSTANCE_TERMINATING, VOLUMES_DETACHED};
use kaito_api::{NodeClaim, NodeClaimCondition, NodeClaimStatus};
use plan::Plan;

use crate::context::Ctx;
use crate::ownership::View;
use crate::status::conditions::ConditionUpdate;
use crate::status::events::{self, Told};
use crate::status::{Facts, NodeFacts, Report};

/// Reasons that stay until somebody does something.
const LASTING: [ClaimReason; 6] = [
    ClaimReason::SkuNotAvailable,
    ClaimReason::InvalidRequest,
    ClaimReason::InvalidNodeClaim,
    ClaimReason::AgentPoolNameConflict,
    ClaimReason::ClaimNameConflict,
    ClaimReason::MultipleNodesFound,
];

/// One condition before it has a time.
struct Verdict {
    type_: &'static str,
    status: Status,
    reason: &'static str,
    message: String,
}

/// Puts the status and its events into the plan.
pub(crate) fn conclude(
    ctx: &Ctx<'_>,
    claim: &NodeClaim,
    report: &Report<'_>,
    holding: Option<&ConditionUpdate>,
    plan: &mut Plan<CloudCall>,
) {
    let before = claim.status.as_ref();
    let old = before.map_or(&[][..], |status| &status.conditions);
    let mut status = match report.facts {
        NodeFacts::None => NodeClaimStatus::default(),
        NodeFacts::AsBefore => before.cloned().unwrap_or_default(),
        NodeFacts::Of(node) => of_facts(Facts::of(node)),
    };
    if let (View::Ours(pool), false) = (ctx.pool, status.node_name.is_empty()) {
        status.image_id = pool.node_image.clone().unwrap_or_default();
    }
    let steps: Vec<Verdict> = ClaimConditionType::STEPS
        .into_iter()
        .zip(&report.steps)
        .map(|(type_, step)| verdict(type_.as_str(ClaimKind::NodeClaim), step))
        .collect();
    let registered = steps
        .iter()
        .any(|step| step.type_ == "Registered" && step.status == Status::True);
    let ready = ready(&steps);
    let leaving = holding.map_or_else(Vec::new, |step| leaving(registered, step));
    status.conditions = steps
        .into_iter()
        .chain([ready])
        .chain(leaving)
        .map(|verdict| condition(ctx, old, &verdict))
        .collect();
    if before == Some(&status) {
        return;
    }
    plan.events
        .extend(events::between(ctx.kind(), &told(old), &told(&status.conditions)));
    // Strings and numbers only, so this cannot fail.
    plan.status = serde_json::to_value(&status).ok();
}

fn of_facts(facts: Facts) -> NodeClaimStatus {
    NodeClaimStatus {
        node_name: facts.node_name,
        provider_id: facts.provider_id,
        capacity: facts.capacity,
        allocatable: facts.allocatable,
        ..NodeClaimStatus::default()
    }
}

fn condition(ctx: &Ctx<'_>, old: &[NodeClaimCondition], verdict: &Verdict) -> NodeClaimCondition {
    let born = ctx.claim.metadata().creation_timestamp.as_ref();
    let born = born.map_or(ctx.now, |time| time.0);
    node_claim_condition(
        old,
        (born, ctx.now),
        ctx.generation(),
        verdict.type_,
        verdict.status,
        verdict.reason,
        &verdict.message,
    )
}

fn verdict(type_: &'static str, step: &ConditionUpdate) -> Verdict {
    if step.status == Status::True {
        return Verdict {
            type_,
            status: Status::True,
            reason: type_,
            message: String::new(),
        };
    }
    let reason = step.reason.unwrap_or(ClaimReason::AwaitingReconciliation);
    let lasting = step.status == Status::False && LASTING.contains(&reason);
    Verdict {
        type_,
        status: if lasting { Status::False } else { Status::Unknown },
        reason: reason.as_str(),
        message: step.message.clone(),
    }
}

fn ready(steps: &[Verdict]) -> Verdict {
    let undone: Vec<&Verdict> = steps.iter().filter(|step| step.status != Status::True).collect();
    let (status, reason) = if undone.is_empty() {
        (Status::True, "Ready")
    } else if undone.iter().any(|step| step.status == Status::False) {
        (Status::False, "UnhealthyDependents")
    } else {
        (Status::Unknown, "ReconcilingDependents")
    };
    let list: Vec<String> = undone
        .iter()
        .map(|step| format!("{}={}", step.type_, step.status.as_str()))
        .collect();
    Verdict {
        type_: "Ready",
        status,
        reason,
        message: list.join(", "),
    }
}

/// What is done of a claim's end, and what is waited for. Only a registered Node is drained.
fn leaving(registered: bool, step: &ConditionUpdate) -> Vec<Verdict> {
    let stages = [DRAINED, VOLUMES_DETACHED, INSTANCE_TERMINATING];
    let stage = match step.reason {
        Some(ClaimReason::Draining) => DRAINED,
        Some(ClaimReason::AwaitingVolumeDetachment) => VOLUMES_DETACHED,
        _ => INSTANCE_TERMINATING,
    };
    let done = |type_| Verdict {
        type_,
        status: Status::True,
        reason: type_,
        message: String::new(),
    };
    let reason = step.reason.map_or(INSTANCE_TERMINATING, ClaimReason::as_str);
    let current = Verdict {
        type_: stage,
        status: if reason == INSTANCE_TERMINATING {
            Status::True
        } else {
            Status::Unknown
        },
        reason,
        message: step.message.clone(),
    };
    let earlier = stages.into_iter().take_while(|type_| *type_ != stage);
    let earlier = earlier.filter(|_| registered).map(done);
    earlier.chain([current]).collect()
}

fn told(all: &[NodeClaimCondition]) -> Vec<Told<'_>> {
    all.iter()
        .map(|condition| Told {
            type_: &condition.type_,
            status: &condition.status,
            reason: &condition.reason,
            message: &condition.message,
        })
        .collect()
}

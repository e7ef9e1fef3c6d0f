//! The status of a NodeClaim.
//!
//! Conditions follow Karpenter: a stage that is not done is `Unknown`, and `False` only if it cannot heal by itself.
//! `Ready` is `True` if all stages are, `False` if one is, else `Unknown`, and lists those that are not done. Every
//! condition has the generation that it describes. While a NodeClaim is being deleted, conditions of their own show what
//! it waits for.

use kaito_api::claim::ClaimKind;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, NewCondition, Status};
use kaito_api::node_claim_status::{
    DRAINED, INSTANCE_TERMINATING, RECONCILING_DEPENDENTS, TERMINATION_CONDITIONS, UNHEALTHY_DEPENDENTS,
    VOLUMES_DETACHED,
};
use kaito_api::{NodeClaim, NodeClaimCondition, NodeClaimStatus};

use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::instance::InstanceView;
use crate::status::report::{NodeFacts, NodeSource, StatusReport};

/// Reasons that stay until a person acts.
const LASTING: [ClaimReason; 7] = [
    ClaimReason::NodeClassNotFound,
    ClaimReason::SkuNotAvailable,
    ClaimReason::InvalidRequest,
    ClaimReason::InvalidNodeClaim,
    ClaimReason::InstanceNameConflict,
    ClaimReason::ClaimNameConflict,
    ClaimReason::MultipleNodesFound,
];

/// One condition with its type, but without a time. Unlike a stage's, its reason is never empty.
struct TypedUpdate {
    type_: &'static str,
    status: Status,
    reason: &'static str,
    message: String,
}

impl TypedUpdate {
    fn done(type_: &'static str) -> Self {
        Self {
            type_,
            status: Status::True,
            reason: type_,
            message: String::new(),
        }
    }
}

/// Returns the complete status.
pub(crate) fn status(
    context: &PlanContext<'_>,
    claim: &NodeClaim,
    report: &StatusReport<'_>,
) -> NodeClaimStatus {
    let before = claim.status.as_ref();
    let mut status = match report.node {
        NodeSource::None => NodeClaimStatus::default(),
        NodeSource::Stored => before.cloned().unwrap_or_default(),
        NodeSource::Observed(node) => of_facts(NodeFacts::of(node, context.claim)),
    };
    if let (InstanceView::Owned(instance), false) = (context.instance, status.node_name.is_empty()) {
        status.image_id = instance.image.clone().unwrap_or_default();
    }
    let old = before.map_or(&[][..], |status| &status.conditions);
    status.conditions = updates(report)
        .iter()
        .map(|update| condition(context, old, update))
        .collect();
    status
}

fn updates(report: &StatusReport<'_>) -> Vec<TypedUpdate> {
    let mut all: Vec<TypedUpdate> = ClaimConditionType::STEPS
        .into_iter()
        .zip(&report.stages)
        .map(|(type_, update)| stage(type_.as_str(ClaimKind::NodeClaim), update))
        .collect();
    let health = report.findings.health.as_ref();
    let health = health.map(|health| found(ClaimConditionType::NodeHealthy, health));
    let drift = report.findings.drift.as_ref();
    let ready = ready(&all, health.as_ref());
    all.push(ready);
    all.extend(health);
    all.extend(drift.map(|drift| found(ClaimConditionType::Drifted, drift)));
    if let Some(waiting_for) = &report.waiting_for {
        let [_, registered, _] = &report.stages;
        all.extend(terminating(registered.is_true(), waiting_for));
    }
    all
}

fn of_facts(facts: NodeFacts) -> NodeClaimStatus {
    NodeClaimStatus {
        node_name: facts.node_name,
        provider_id: facts.provider_id,
        capacity: facts.capacity,
        allocatable: facts.allocatable,
        ..NodeClaimStatus::default()
    }
}

fn condition(
    context: &PlanContext<'_>,
    old: &[NodeClaimCondition],
    update: &TypedUpdate,
) -> NodeClaimCondition {
    let metadata = context.claim.metadata();
    let created = metadata.creation_timestamp.as_ref();
    let created = created.map_or(context.now, |time| time.0);
    let generation = metadata.generation.unwrap_or_default();
    let new = NewCondition {
        type_: update.type_,
        status: update.status,
        reason: update.reason,
        message: &update.message,
    };
    new.of_node_claim(old, generation, created, context.now)
}

fn stage(type_: &'static str, update: &ConditionUpdate) -> TypedUpdate {
    if update.is_true() {
        return TypedUpdate::done(type_);
    }
    let reason = update.reason.unwrap_or(ClaimReason::AwaitingReconciliation);
    let is_lasting = update.status == Status::False && LASTING.contains(&reason);
    TypedUpdate {
        type_,
        status: if is_lasting {
            Status::False
        } else {
            Status::Unknown
        },
        reason: reason.as_str(),
        message: update.message.clone(),
    }
}

fn found(type_: ClaimConditionType, update: &ConditionUpdate) -> TypedUpdate {
    TypedUpdate {
        type_: type_.as_str(ClaimKind::NodeClaim),
        status: update.status,
        reason: update.reason_str(),
        message: update.message.clone(),
    }
}

fn ready(stages: &[TypedUpdate], health: Option<&TypedUpdate>) -> TypedUpdate {
    let undone: Vec<&TypedUpdate> = stages
        .iter()
        .chain(health)
        .filter(|stage| stage.status != Status::True)
        .collect();
    let (status, reason) = if undone.is_empty() {
        (Status::True, "Ready")
    } else if undone.iter().any(|stage| stage.status == Status::False) {
        (Status::False, UNHEALTHY_DEPENDENTS)
    } else {
        (Status::Unknown, RECONCILING_DEPENDENTS)
    };
    let list: Vec<String> = undone
        .iter()
        .map(|stage| format!("{}={}", stage.type_, stage.status.as_str()))
        .collect();
    TypedUpdate {
        type_: "Ready",
        status,
        reason,
        message: list.join(", "),
    }
}

/// Returns the conditions of a termination: the steps that are done and the one that is waited for. Only a registered
/// Node is drained.
fn terminating(is_registered: bool, waiting_for: &ConditionUpdate) -> Vec<TypedUpdate> {
    let type_ = match waiting_for.reason {
        Some(ClaimReason::Draining) => DRAINED,
        Some(ClaimReason::AwaitingVolumeDetachment) => VOLUMES_DETACHED,
        _ => INSTANCE_TERMINATING,
    };
    let reason = waiting_for
        .reason
        .map_or(INSTANCE_TERMINATING, ClaimReason::as_str);
    let current = TypedUpdate {
        type_,
        status: if reason == INSTANCE_TERMINATING {
            Status::True
        } else {
            Status::Unknown
        },
        reason,
        message: waiting_for.message.clone(),
    };
    TERMINATION_CONDITIONS
        .into_iter()
        .take_while(|earlier| *earlier != type_)
        .filter(|_| is_registered)
        .map(TypedUpdate::done)
        .chain([current])
        .collect()
}

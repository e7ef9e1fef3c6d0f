//! Outdated nodes: the node class has changed since the launch, or the claim is older than its `expireAfter`.
//!
//! A claim shows drift in its condition `Drifted`. Nothing is replaced unless the settings say so, and then one node of a
//! Workspace at a time, while the whole fleet is healthy. The Node is drained like that of any deleted claim.

use std::time::Duration;

use cloudprovider::CloudCall;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status};
use kaito_api::labels::LAUNCH_CLASS;
use kaito_api::{Claim, KaitoNodeClass, names};
use kube::ResourceExt as _;
use plan::{Event, Plan};
use serde_json::Value;

use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::launch::class;
use crate::node::facts::forbid_replacement;
use crate::node::matching::{self, NodeMatch};
use crate::repair::answer::RepairAnswer;
use crate::{claim_edit, time};

/// Stable words for metrics.
pub(crate) const DRIFTED: &str = "node_drifted";
pub(crate) const EXPIRED: &str = "claim_expired";
/// Reason of the Event about an expired claim, as Karpenter has it.
const EXPIRED_EVENT: &str = "Expired";
/// Time until a replacement that is due is asked for again.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// A node that is outdated, and is to be replaced.
pub(crate) struct Outdated<'a> {
    node: &'a Node,
    code: &'static str,
    event: &'static str,
    cause: String,
}

/// Returns the mark of a node class, for the claim that is launched with it.
pub(crate) fn mark(class: Option<&KaitoNodeClass>) -> String {
    // Strings and numbers only, so this cannot fail.
    let mut spec = class.map_or(Value::Null, |class| {
        serde_json::to_value(&class.spec).unwrap_or_default()
    });
    spec.sort_all_objects();
    names::digest(&[&spec.to_string()])[..16].to_owned()
}

/// Returns the condition `Drifted`, if the class of the claim has changed since the launch.
pub(crate) fn drift(context: &PlanContext<'_>) -> Option<ConditionUpdate> {
    let launched_with = context.claim.annotations().get(LAUNCH_CLASS)?;
    let class = class::of(context).ok()?;
    (*launched_with != mark(class)).then(|| ConditionUpdate {
        status: Status::True,
        reason: Some(ClaimReason::NodeClassDrifted),
        message: format!(
            "KaitoNodeClass {} has changed since this node was made. {}",
            class::name(context.claim, context.settings),
            ClaimReason::NodeClassDrifted.remedy(),
        ),
    })
}

/// Returns the node of a ready claim, if it is to be replaced.
fn due<'a>(context: &PlanContext<'a>) -> Option<Outdated<'a>> {
    let claim = context.claim;
    if !claim.is_true(ClaimConditionType::Ready) {
        return None;
    }
    let NodeMatch::One(node) = matching::find(context) else {
        return None;
    };
    if forbid_replacement(claim.annotations()) || forbid_replacement(node.annotations()) {
        return None;
    }
    if let Some(at) = expires_at(context).filter(|at| *at <= context.now) {
        return Some(Outdated {
            node,
            code: EXPIRED,
            event: EXPIRED_EVENT,
            cause: format!("the claim has expired at {}", time::whole_seconds(at)),
        });
    }
    let is_drifted = context.settings.replaces_drifted && drift(context).is_some();
    is_drifted.then(|| Outdated {
        node,
        code: DRIFTED,
        event: ClaimReason::NodeClassDrifted.as_str(),
        cause: format!(
            "KaitoNodeClass {} has changed",
            class::name(claim, context.settings)
        ),
    })
}

/// Returns the name of the Node whose replacement is due.
pub(crate) fn due_node(context: &PlanContext<'_>) -> Option<String> {
    due(context).map(|outdated| outdated.node.name_any())
}

/// Returns the node whose replacement is granted.
pub(crate) fn granted<'a>(context: &PlanContext<'a>) -> Option<Outdated<'a>> {
    matches!(context.repair, RepairAnswer::Granted)
        .then(|| due(context))
        .flatten()
}

/// Returns the time until the claim is to be looked at again.
pub(crate) fn requeue(context: &PlanContext<'_>) -> Option<Duration> {
    if due(context).is_some() {
        return Some(ASK_AGAIN);
    }
    expires_at(context).and_then(|at| time::remaining(at, context.now))
}

/// Returns true if the claim is ready, so that another one of its Workspace may be replaced.
pub(crate) fn is_settled(claim: &Claim) -> bool {
    claim.metadata().deletion_timestamp.is_none() && claim.is_true(ClaimConditionType::Ready)
}

/// Deletes the claim of an outdated node. Its Workspace then creates another.
pub(crate) fn plan(context: &PlanContext<'_>, outdated: &Outdated<'_>) -> Plan<CloudCall> {
    let cause = format!("{}; the node is being replaced", outdated.cause);
    let mut plan = Plan {
        writes: vec![claim_edit::delete(context.claim)],
        events: vec![Event::normal(outdated.event, plan::text::sentence(&cause))],
        ..Plan::default()
    };
    plan.add_reason(outdated.code, &cause);
    plan
}

/// Returns the end of the claim's life; `None` if it has none, or if claims do not expire.
fn expires_at(context: &PlanContext<'_>) -> Option<Timestamp> {
    let Claim::NodeClaim(claim) = context.claim else {
        return None;
    };
    let age = claim.spec.expire_after.as_deref()?;
    let age: SignedDuration = age.parse().ok().filter(|_| context.settings.replaces_expired)?;
    let created = claim.metadata.creation_timestamp.as_ref()?.0;
    created.checked_add(age).ok()
}

//! Repair: a Node that stays unhealthy is replaced, by deleting its claim. The claim's condition `NodeHealthy` says so first.
//!
//! The condition is stored before its time counts, so a restart does not begin it again. Nothing is replaced while the cloud
//! changes or stops the instance, and nothing without the consent of `grant.rs`, which knows the fleet.

pub(crate) mod answer;
pub(crate) mod rule;
pub(crate) mod symptom;

use std::time::Duration;

use cloudprovider::{BRAKE_WINDOW, CloudCall, InstanceState};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status};
use kaito_api::labels::REGISTERED;
use kube::ResourceExt as _;
use plan::Plan;

use crate::condition::{self, ConditionUpdate};
use crate::context::PlanContext;
use crate::instance::InstanceView;
use crate::node::facts::{forbid_replacement, has_finalizer, has_label, is_initialized};
use crate::node::matching::{self, NodeMatch};
use crate::repair::answer::{MASS_FAILURE_HOLD, RepairAnswer, RepairHold};
use crate::repair::symptom::Symptom;
use crate::{give_up, launch, time};

/// Time until a repair that is due is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// A registered Node that is unhealthy.
pub(crate) struct Unhealthy<'a> {
    pub(crate) node: &'a Node,
    pub(crate) symptom: Symptom<'a>,
    /// Begin of the time that counts; `None` until the claim's condition is stored.
    since: Option<Timestamp>,
}

/// The condition `NodeHealthy` of a claim, and the next look at the Node.
#[derive(Default)]
pub(crate) struct Health {
    /// `None` if the Node is healthy, as far as is known.
    pub(crate) update: Option<ConditionUpdate>,
    pub(crate) requeue: Option<Duration>,
}

/// Returns the claim's Node, if it is unhealthy and its instance is at rest.
pub(crate) fn assess<'a>(context: &PlanContext<'a>) -> Option<Unhealthy<'a>> {
    let InstanceView::Owned(instance) = context.instance else {
        return None;
    };
    if context.has_name_conflict || context.cluster_conflict.is_some() {
        return None;
    }
    let at_rest = matches!(
        instance.state,
        InstanceState::Succeeded | InstanceState::Failed | InstanceState::Canceled
    );
    let NodeMatch::One(node) = matching::find(context) else {
        return None;
    };
    let is_registered = has_finalizer(node) && has_label(node, REGISTERED);
    if !at_rest || launch::is_stopped(instance) || !is_registered {
        return None;
    }
    let symptom = symptom::first(&context.settings.repair_rules, node, context.claim)?;
    Some(Unhealthy {
        node,
        since: since(context, node, &symptom),
        symptom,
    })
}

/// Returns the begin of the time that counts: the Node was unhealthy without a break, and showed this sign.
fn since(context: &PlanContext<'_>, node: &Node, symptom: &Symptom<'_>) -> Option<Timestamp> {
    let begun = if is_initialized(node) {
        let stored = context.claim.condition(ClaimConditionType::NodeHealthy)?;
        stored.since.filter(|_| stored.status == Status::False)?
    } else {
        // It was never healthy. `Initialized` says so, thus a start shows no other condition.
        let registered = context.claim.condition(ClaimConditionType::Registered)?;
        registered.since.filter(|_| registered.status == Status::True)?
    };
    // The clock of a Node may be ahead; such a time says nothing.
    let dated = symptom.since.filter(|at| *at <= context.now);
    Some(dated.map_or(begun, |at| at.max(begun)))
}

impl Unhealthy<'_> {
    /// Returns the time of its replacement; `None` until the claim's condition is stored.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        Some(time::after(self.since?, self.symptom.rule.after))
    }

    /// Returns true if the Node was unhealthy for long enough.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Returns true if the Node was never fit for work.
    pub(crate) fn is_starting(&self) -> bool {
        !is_initialized(self.node)
    }

    /// Returns true if an annotation of the claim or of the Node forbids its replacement.
    pub(crate) fn is_forbidden(&self, context: &PlanContext<'_>) -> bool {
        forbid_replacement(context.claim.annotations()) || forbid_replacement(self.node.annotations())
    }

    fn cause(&self) -> String {
        format!(
            "Node {} is unhealthy: {}",
            self.node.name_any(),
            self.symptom.text
        )
    }
}

/// Returns the Node that is replaced now.
pub(crate) fn granted<'a>(context: &PlanContext<'a>) -> Option<Unhealthy<'a>> {
    let unhealthy = assess(context)?;
    let is_granted = matches!(context.repair, RepairAnswer::Granted)
        && unhealthy.is_due(context.now)
        && !unhealthy.is_forbidden(context);
    is_granted.then_some(unhealthy)
}

/// Returns what the claim says about the health of its Node, which stays for now.
pub(crate) fn health(context: &PlanContext<'_>) -> Health {
    if matches!(context.instance, InstanceView::Unknown) {
        let type_ = ClaimConditionType::NodeHealthy;
        let stored = context.claim.condition(type_);
        return Health {
            update: stored.map(|_| condition::stored(context.claim, type_)),
            requeue: None,
        };
    }
    let Some(unhealthy) = assess(context) else {
        return Health::default();
    };
    let is_due = unhealthy.is_due(context.now);
    // A Node that starts is not ready either.
    if !is_due && unhealthy.is_starting() {
        let left = unhealthy.due().and_then(|due| time::remaining(due, context.now));
        return Health {
            update: None,
            requeue: left,
        };
    }
    let cause = unhealthy.cause();
    let (reason, cause, requeue) = if unhealthy.is_forbidden(context) {
        let reason = ClaimReason::NodeRepairForbidden;
        (reason, cause, None)
    } else if is_due {
        let (why, requeue) = held(context);
        (ClaimReason::NodeRepairHeld, format!("{cause}; {why}"), requeue)
    } else {
        let begun = unhealthy.since.unwrap_or(context.now);
        let due = time::after(begun, unhealthy.symptom.rule.after);
        let at = time::whole_seconds(due);
        let left = time::remaining(due, context.now);
        (
            unhealthy.symptom.reason,
            format!("{cause}; it is replaced at {at}"),
            left,
        )
    };
    Health {
        update: Some(condition::unmet(reason, &cause)),
        requeue,
    }
}

fn held(context: &PlanContext<'_>) -> (String, Option<Duration>) {
    let percent = context.settings.node_deletion_percent;
    let again = Some(ASK_AGAIN);
    match &context.repair {
        RepairAnswer::Held(RepairHold::Brake(until)) => (
            format!(
                "at most {percent} % of the nodes are given back in {} minutes",
                BRAKE_WINDOW.as_mins()
            ),
            time::remaining(*until, context.now).or(again),
        ),
        RepairAnswer::Held(RepairHold::Many) => (
            format!(
                "more than {percent} % of the nodes are unhealthy at once, so the cause may not be this node; if that lasts for {} \
                 minutes and another node is ready, they are replaced one by one",
                MASS_FAILURE_HOLD.as_mins()
            ),
            again,
        ),
        RepairAnswer::Held(RepairHold::CloudSilent) => (
            "the cloud has not listed its instances for minutes".to_owned(),
            again,
        ),
        RepairAnswer::Held(RepairHold::NodeUnread) => (
            "the API server did not show the Node when it was asked".to_owned(),
            again,
        ),
        RepairAnswer::NotAsked | RepairAnswer::Granted | RepairAnswer::Held(RepairHold::Others) => {
            ("its replacement is about to be decided".to_owned(), again)
        }
    }
}

/// Deletes the claim of an unhealthy Node. Its Workspace then creates another.
pub(crate) fn plan(context: &PlanContext<'_>, unhealthy: &Unhealthy<'_>) -> Plan<CloudCall> {
    let cause = format!("{}; it is being replaced", unhealthy.cause());
    give_up::plan(context, unhealthy.symptom.reason, unhealthy.symptom.code, &cause)
}

//! Plans the next step of one claim: a pure function of what was observed.
//!
//! A claim is a Machine or a NodeClaim. Instances and Nodes are handled alike for both kinds; their conditions differ, in
//! `status/machine.rs` and `status/node_claim.rs`.
//!
//! [`plan`] picks the phase of the claim. The life of a claim that is wanted is [`live`]: launch, registration,
//! initialization, status. Its end is `termination.rs`. Each stage looks at the observed world in every reconcile; the
//! status is never the only evidence. `ARCHITECTURE.md` has the table of states.

mod backoff;
pub mod capacity;
mod claim_edit;
pub mod cluster;
mod condition;
mod context;
pub mod fleet;
mod fleet_health;
pub mod garbage;
mod give_up;
mod grant;
mod initialization;
mod instance;
mod instance_deletion;
pub mod launch;
mod launch_record;
pub mod managed;
mod node;
mod node_deletion;
pub mod observe;
pub mod observed;
pub mod orphan;
mod outdated;
mod phase;
mod refused;
mod registration;
mod repair;
pub mod settings;
mod spot;
mod status;
mod termination;
mod time;

pub use give_up::{REPLACEMENT_CAUSES, replacement};
pub use grant::{authorize, due_node};
pub use observe::{Source, observe};
pub use observed::{Observed, ObservedNode};
pub use refused::report;
pub use repair::answer::{RepairAnswer, RepairHold};
pub use repair::rule::{RepairRule, RepairRuleError, RepairRules};
pub use settings::Settings;

use std::time::Duration;

use cloudprovider::CloudCall;
use jiff::{SignedDuration, Timestamp};
use kaito_api::labels::TERMINATION_FINALIZER;
use plan::{Finalizer, Plan};

use crate::context::PlanContext;
use crate::instance::InstanceView;
use crate::phase::Phase;
use crate::status::findings::Findings;

/// Time after which a claim shows that the instances could not be listed.
const LISTING_PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// Plans the next step of one claim.
#[must_use]
pub fn plan(now: Timestamp, observed: &Observed, settings: &Settings) -> Plan<CloudCall> {
    let context = PlanContext::new(now, observed, settings);
    match phase::of(&context) {
        Phase::NotManaged => Plan::default(),
        Phase::Unprotected => protect(&context, live(&context)),
        Phase::Live => live(&context),
        Phase::NodeDeleted(node) => node_deletion::plan(&context, node),
        Phase::Reclaimed(node) => spot::plan(&context, node),
        Phase::Unhealthy(unhealthy) => repair::plan(&context, &unhealthy),
        Phase::Outdated(outdated) => outdated::plan(&context, &outdated),
        Phase::Terminating => termination::plan(&context),
    }
}

/// Plans for a claim that is wanted.
fn live(context: &PlanContext<'_>) -> Plan<CloudCall> {
    let mut launch = launch::decide(context);
    let registered = registration::decide(context.claim, &mut launch.state);
    let initialized = initialization::decide(context.claim, &mut launch.state);
    let health = repair::health(context);
    let findings = Findings {
        health: health.update,
        drift: outdated::drift(context),
    };
    let status = status::live(context, &launch.state, registered, initialized, findings);
    let plan = launch.into_plan(context.claim);
    Plan {
        status: status.value,
        events: status.events,
        requeue: [plan.requeue, health.requeue, outdated::requeue(context)]
            .into_iter()
            .flatten()
            .min(),
        ..plan
    }
}

/// Reduces the plan for a claim without our finalizer: only the finalizer is stored, unless an instance is to be created.
/// That plan stores the finalizer itself, together with the intent to create: the write comes before the call, and fails
/// if the claim has changed. A new claim waits for the listing that such a plan needs.
fn protect(context: &PlanContext<'_>, plan: Plan<CloudCall>) -> Plan<CloudCall> {
    match (&plan.cloud, unlisted(context)) {
        (Some(CloudCall::Create(_)), _) => plan,
        (_, Some(left)) => Plan {
            requeue: Some(left),
            reasons: plan.reasons,
            ..Plan::default()
        },
        (_, None) => Plan {
            finalizer: Finalizer::Ensure(TERMINATION_FINALIZER),
            ..Plan::default()
        },
    }
}

/// Returns the time for which a new claim needs no finalizer: nothing was asked for, and the instances are about to be listed.
fn unlisted(context: &PlanContext<'_>) -> Option<Duration> {
    let is_untouched = matches!(context.instance, InstanceView::Unknown)
        && context.last_call.is_none()
        && context.record.started.is_none()
        && context.nodes.is_empty();
    let created = context.claim.metadata().creation_timestamp.as_ref()?.0;
    let left = time::remaining(time::after(created, LISTING_PATIENCE), context.now)?;
    // Clocks differ.
    (is_untouched && left <= time::to_std(LISTING_PATIENCE)).then_some(left)
}

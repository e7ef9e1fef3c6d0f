//! Decides what to do about one Workspace: a pure function of what was observed.
//!
//! Read the files in the order of the pipeline: `observe` → `context` → `phase` → `validate` → `desired` → `build` →
//! `status`. Every plan derives the phase from the cluster, and nothing else is remembered between plans. The number
//! of nodes is decided once and then stored on the claims, which users cannot write.

mod allowed;
mod annotations;
mod build;
mod ceiling;
mod claim_problem;
mod claim_status;
mod claims;
mod condition;
mod context;
mod deletion;
mod deploy;
mod desired;
mod exposure;
mod finished;
mod fits;
mod ladder;
mod launch_backoff;
mod launch_report;
mod ledger;
mod metadata;
mod missing;
mod model_commit;
mod needs;
mod node;
mod node_count;
mod node_set;
mod observe;
mod observed;
mod offer;
mod orphan;
mod phase;
mod pod_state;
mod pods;
mod preset_memory;
mod price;
mod problem;
mod refused;
mod rejected;
mod replaced;
mod replacement;
mod retention;
mod rollout;
mod rung;
mod settings;
mod shortage;
mod status;
#[cfg(test)]
mod testing;
mod unavailable;
mod upgrade_queue;
mod upgrade_request;
mod upgrades;
mod user_config;
mod validate;
mod warnings;
mod weights;
mod weights_volume;
mod workload;
mod workload_problem;

pub use ceiling::CeilingRefusal;
pub use launch_backoff::{LaunchBackoff, LaunchBackoffs};
pub use ledger::{Grant, GrantRequest, SpendLedger, Wake};
pub use observe::{Source, observe, preset_to_look_up};
pub use observed::{Observed, ObservedCapacity, PresetLookup, WeightsClaim, Workloads};
pub use offer::Offer;
pub use orphan::{ClaimOwner, ObservedClaim, OrphanMemory, Ownership, plan_claim};
pub use preset_memory::{PresetAnswer, PresetMemory};
pub use settings::{NodeLimit, NodeRetention, ProvisionerMode, Settings};
pub use unavailable::{UnavailableType, UnavailableTypes};
pub use upgrade_queue::{Turn, TurnRequest, UnfinishedUpgrade, UpgradeQueue};
pub use upgrades::{AutomaticUpgrades, UpgradeWindow, Upgrades, WindowDays, WindowStart};
pub use user_config::{ConfigLookup, MOST_USER_CONFIGS, config_to_look_up, strip as strip_user_config};
pub use warnings::WARNINGS;

use jiff::Timestamp;
use kaito_api::labels::WORKSPACE_FINALIZER;
use plan::{Finalizer, Plan, RefusedWrite, Report};

use crate::context::PlanContext;
use crate::phase::Phase;

/// Decides the next step for one Workspace.
#[must_use]
pub fn plan(now: Timestamp, observed: &Observed, settings: &Settings) -> Plan {
    of_context(&PlanContext::new(now, observed, settings))
}

/// Decides what the status says after the API server refused these writes of the plan.
///
/// It is the status that [`plan()`] gives, with the refusals in the conditions that they concern. So a refusal that
/// lasts is written once, and one that has ended disappears with the next plan.
#[must_use]
pub fn report(now: Timestamp, observed: &Observed, settings: &Settings, refusals: &[RefusedWrite]) -> Report {
    let context = PlanContext::new(now, observed, settings);
    let settled = |refusal| refused::settled(&context, refusal, refusals.len().saturating_sub(1));
    let plan = of_context(&PlanContext {
        refusals: refusals.iter().map(settled).collect(),
        ..PlanContext::new(now, observed, settings)
    });
    Report {
        status: plan.status,
        events: plan.events,
    }
}

fn of_context(context: &PlanContext<'_>) -> Plan {
    let mut plan = match phase::of(context) {
        Phase::Released => Plan::default(),
        Phase::Terminating => deletion::plan(context),
        Phase::Finished => finished::plan(context),
        Phase::Rejected(problem) => rejected::plan(context, &problem),
        Phase::UsingLastKnownPreset(problem) => rejected::keep_running(context, problem),
        Phase::Valid(desired, manifests) => deploy::plan(context, &desired, manifests),
    };
    if context.is_live() && !context.has_finalizer() {
        // Executed before the writes, and only if the Workspace has not changed since.
        plan.finalizer = Finalizer::Ensure(WORKSPACE_FINALIZER);
    }
    plan
}

//! What to do about one Workspace: a pure function of what was observed.
//!
//! The order of a Workspace's life: finalizer, judgement of the spec, claims, workload, status. Every plan
//! derives from the world where the Workspace stands; nothing is remembered between plans but what the
//! cluster holds. The number of nodes is decided once and then stands on the workload.

mod byo;
mod claims;
mod deletion;
mod events;
mod finding;
mod inference;
pub mod launch_backoff;
mod nodes;
pub mod observe;
pub mod observed;
mod phase;
mod pods;
pub mod preset_memory;
mod runtime;
pub mod settings;
mod sizing;
mod sources;
mod status;
mod subject;
mod tuning;
mod validate;
mod waiting;
mod workloads;

pub use launch_backoff::{LaunchBackoff, LaunchBackoffs};
pub use observe::{Source, observe, preset_to_look_up};
pub use observed::{Observed, PresetLookup, Workloads};
pub use preset_memory::{PresetAnswer, PresetMemory};
pub use settings::{ProvisionerMode, Settings};

use jiff::Timestamp;
use kaito_api::labels::WORKSPACE_FINALIZER;
use plan::{Finalizer, Plan};

use phase::Phase;
use subject::{Subject, is_live};

/// Decides the next step for one Workspace.
#[must_use]
pub fn plan(now: Timestamp, observed: &Observed, settings: &Settings) -> Plan {
    let subject = Subject::new(now, observed, settings);
    let mut plan = decide(&subject);
    if is_live(subject.metadata()) && !phase::is_claimed(&subject) {
        // Carried out before everything else of the plan, and only if the Workspace still is as observed.
        plan.finalizer = Finalizer::Ensure(WORKSPACE_FINALIZER);
    }
    plan
}

fn decide(subject: &Subject<'_>) -> Plan {
    match phase::of(subject) {
        Phase::Gone => Plan::default(),
        Phase::Deleting => deletion::plan(subject),
        Phase::Refused(problem) => waiting::refused(subject, &problem),
        Phase::Kept(problem) => waiting::kept(subject, problem),
        Phase::Serving(serving) => inference::plan(subject, &serving),
        Phase::Tuning(tuning) => tuning::plan(subject, &tuning),
    }
}

//! What to do about one Workspace: a pure function of what was observed.

pub mod observed;
pub mod settings;

pub use observed::{Observed, PresetLookup, Workloads};
pub use settings::{ProvisionerMode, Settings};

use jiff::Timestamp;
use plan::Plan;

/// Decides the next step for one Workspace.
#[must_use]
pub fn plan(_now: Timestamp, _observed: &Observed, _settings: &Settings) -> Plan {
    Plan::default()
}

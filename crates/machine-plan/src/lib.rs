//! What to do about one Machine: a pure function of what was observed.
//!
//! Launch, registration, initialization and termination are derived from the world at every pass; nothing
//! authoritative is kept in status. See `ARCHITECTURE.md` for the state table.

pub mod observed;
pub mod settings;

pub use observed::Observed;
pub use settings::Settings;

use cloudprovider::CloudCall;
use jiff::Timestamp;
use plan::Plan;

/// Decides the next step for one Machine.
#[must_use]
pub fn plan(_now: Timestamp, _observed: &Observed, _settings: &Settings) -> Plan<CloudCall> {
    Plan::default()
}

//! What to do about one claim: a pure function of what was observed.
//!
//! A claim is a Machine or a NodeClaim: what is done about pools and Nodes is the same for both; what their conditions
//! are called and how they follow from each other is in `machine_status.rs` and `node_claim_status.rs`.
//!
//! Launch, registration, initialization and termination are derived from the world at every pass; nothing
//! authoritative is kept in status. See `ARCHITECTURE.md` for the state table.

mod backoff;
mod claim_edit;
mod context;
pub mod garbage;
mod instance;
pub mod launch;
mod live;
pub mod managed;
pub mod node;
pub mod observe;
pub mod observed;
mod ownership;
mod phase;
pub mod settings;
mod status;
mod termination;

pub use launch::failure::{LAUNCH_FAILURE, LAUNCH_STARTED};
pub use observe::{Source, observe};
pub use observed::{Observed, ObservedNode};
pub use settings::Settings;

use cloudprovider::CloudCall;
use jiff::Timestamp;
use plan::Plan;

use crate::context::Ctx;
use crate::phase::Phase;

/// Decides the next step for one claim.
#[must_use]
pub fn plan(now: Timestamp, observed: &Observed, settings: &Settings) -> Plan<CloudCall> {
    let ctx = Ctx::new(now, observed, settings);
    match phase::of(&ctx) {
        Phase::NotOurs => Plan::default(),
        Phase::Unprotected => live::first(&ctx),
        Phase::Yielding => live::yielding(&ctx),
        Phase::Terminating => termination::plan(&ctx),
        Phase::NodeDeleted(node) => node::deletion::plan(&ctx, node),
        Phase::Live => live::plan(&ctx),
    }
}

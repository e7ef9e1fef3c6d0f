//! Decisions about Machines, from single tables to a whole small world.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail their test"
)]

mod fixtures;
mod garbage;
mod initialization;
mod launch;
mod launch_spec;
mod node_claims;
mod properties;
mod recycle;
mod registration;
mod termination;
mod world;
mod world_cluster;
mod world_runs;

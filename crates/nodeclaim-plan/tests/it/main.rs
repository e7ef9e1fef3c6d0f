//! Plans for claims, from single tables to properties of every plan.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail their test"
)]

mod brake;
mod cluster;
mod cluster_objects;
mod fixtures;
mod garbage;
mod initialization;
mod launch;
mod launch_spec;
mod node_claims;
mod node_class;
mod offerings;
mod outdated;
mod properties;
mod registration;
mod repair;
mod replace;
mod spot;
mod stopped;
mod termination;

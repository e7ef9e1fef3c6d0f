//! Decisions about Workspaces, from single tables to arbitrary surroundings. Whole lives are played in `sim`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail their test"
)]

mod automatic;
mod byo;
mod case;
mod cold_start;
mod commits;
mod deletion;
mod events;
mod front;
mod instance_types;
mod karpenter;
mod kinds;
mod ladder;
mod money;
mod never_ready;
mod objects;
mod offerings;
mod pods;
mod processors;
mod properties;
mod push;
mod quota;
mod refused;
mod rejections;
mod serving;
mod tuning;
mod upgrades;
mod user_config;
mod warnings;
mod weights_image;
mod weights_volume;

//! Integration tests: our programs on a real control plane.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod admission;
mod brakes;
mod chart;
mod commits;
mod conformance;
mod crash;
mod crash_proxy;
mod crd;
mod definitions;
mod doctor;
mod embedded;
mod examples;
mod fairness;
mod faults;
mod fencing;
mod guard;
mod holding_proxy;
mod karpenter;
mod ladder;
mod lifecycle;
mod metrics;
mod migration;
mod money;
mod node_claims;
mod node_classes;
mod offerings;
mod plugin;
mod power;
mod probes;
mod proxy;
mod rbac;
mod refusals;
mod registry;
mod releases;
mod repairs;
mod restore;
mod restricted;
mod scribbles;
mod settings;
mod tenants;
mod upgrades;
mod verdicts;
mod warnings;
mod world;

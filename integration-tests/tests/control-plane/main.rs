//! Integration tests: our programs on a real control plane.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod admission;
mod conformance;
mod crash;
mod crash_proxy;
mod crd;
mod faults;
mod lifecycle;
mod node_claims;
mod world;

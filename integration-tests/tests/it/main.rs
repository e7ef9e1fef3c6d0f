//! Integration tests: our programs on a real control plane.

mod crash;
mod crash_proxy;
mod crd;
mod lifecycle;
mod world;

//! The adapter against the ARM server, over real HTTP.

mod faults;
mod harness;
mod identity;
mod lifecycle;
mod limits;

//! The whole server on a local port, asked by gRPC clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod callers;
mod connections;
mod hub;
mod hub_server;
mod plans;
mod presets;
mod running;
mod tls;
mod users;
mod watching;

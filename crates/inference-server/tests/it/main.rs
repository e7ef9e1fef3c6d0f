//! The server over HTTP: endpoints, errors, load and stopping with a tiny random model, and a real model in `real`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it fetches"
)]

mod api;
mod embeddings;
mod front;
mod hub;
mod load;
mod process;
mod proxy;
mod real;
mod reasoning;
mod responses;
mod scripted;
mod security;
mod server;
mod stall;
mod structured_output;
mod tool_calls;

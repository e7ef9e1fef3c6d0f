//! The server over real HTTP with a tiny random model: every endpoint, every kind of mistake, load and stopping.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it fetches"
)]

mod api;
mod calls;
mod embeddings;
mod forms;
mod front;
mod hub;
mod load;
mod process;
mod scripted;
mod secured;
mod server;

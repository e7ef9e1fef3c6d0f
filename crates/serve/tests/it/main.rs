//! The accepting side of a program, with real signals, files and sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod connections;
mod http;
mod reload;
mod signals;

//! Truncated, changed and hostile files: an error that says where, no panic, and no memory taken for what a file merely claims.
//!
//! A program of its own, because it counts what is allocated.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]
#![allow(unsafe_code, reason = "an allocator that counts")]

mod hostile {
    pub(crate) mod adapter;
    pub(crate) mod config;
    pub(crate) mod memory;
    pub(crate) mod mutate;
    pub(crate) mod pages;
    pub(crate) mod rows;
}

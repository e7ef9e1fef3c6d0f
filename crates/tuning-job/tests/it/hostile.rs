//! Truncated, changed and hostile files: an error that names the place, no panic, and no memory taken for what a file merely
//! claims.

mod adapter;
mod config;
#[allow(unsafe_code, reason = "an allocator that counts")]
mod memory;
mod mutate;
mod pages;
mod rows;

//! Tests of the crate against what other programs recorded, and of the program as a process.

mod process;
mod quantised;
mod reference;

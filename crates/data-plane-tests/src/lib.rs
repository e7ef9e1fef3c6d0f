//! The programs of the data plane as processes, for the tests in `tests/`, which run them together.
//!
//! Must not know what a program is for.

mod programs;

pub use programs::{Server, program, run};

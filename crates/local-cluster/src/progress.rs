//! Progress of long steps, for a person who waits. No log levels, no formatting.

use std::fmt::Debug;
use std::io::Write as _;

/// Receives one line for each long step.
pub trait Progress: Debug + Send + Sync {
    /// Says what is about to happen, and how long it is expected to take where that is known.
    fn say(&self, line: &str);
}

/// Writes the lines to standard error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stderr;

impl Progress for Stderr {
    fn say(&self, line: &str) {
        // A closed standard error is no reason to stop building a cluster.
        let _ = writeln!(std::io::stderr().lock(), "local-cluster: {line}");
    }
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn say(&self, _line: &str) {}
}

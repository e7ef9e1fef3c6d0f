//! The violation that ends a run.

use std::fmt;

use jiff::Timestamp;

/// A broken promise, with the events before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Simulated time.
    pub at: Timestamp,
    /// The problem.
    pub what: String,
    /// Events before it, oldest first.
    pub trace: Vec<String>,
}

/// Number of shown lines of the trace.
const SHOWN: usize = 400;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.trace.len().saturating_sub(SHOWN);
        if skipped > 0 {
            writeln!(f, "({skipped} earlier lines)")?;
        }
        for line in self.trace.iter().skip(skipped) {
            writeln!(f, "{line}")?;
        }
        write!(f, "at {}: {}", self.at, self.what)
    }
}

impl std::error::Error for Failure {}

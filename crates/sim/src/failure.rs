//! What a run found wrong.

use std::fmt;

use jiff::Timestamp;

/// A broken promise, with everything that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// What is wrong.
    pub what: String,
    /// What happened before, oldest first.
    pub trace: Vec<String>,
}

/// How many lines of the trace are shown.
const SHOWN: usize = 120;

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

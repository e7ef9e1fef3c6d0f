//! The outcome of an operation, and a guard that records it in every case.

use std::time::{Duration, Instant};

use crate::metrics::{Counter, Histogram, Metrics};

/// The outcome of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    Changed,
    /// There was nothing to do.
    Quiet,
    /// Another rule of the cluster blocks it, such as a disruption budget.
    Blocked,
    /// It failed.
    Failed,
    /// It was dropped before it ended.
    Abandoned,
}

impl Outcome {
    /// A stable word for metric labels and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Quiet => "quiet",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A counter by outcome and a histogram of durations, for one type of operation.
#[derive(Clone, Debug)]
pub struct Operations {
    count: Counter<2>,
    took: Histogram<1>,
}

impl Operations {
    /// Registers `{name}_total{kind,outcome}` and `{name}_duration_seconds{kind}`.
    #[must_use]
    pub fn new(metrics: &Metrics, name: &str, help: &str) -> Self {
        Self {
            count: metrics.counter(name, help, ["kind", "outcome"]),
            took: metrics.histogram(&format!("{name}_duration_seconds"), help, ["kind"]),
        }
    }

    /// Starts an operation of this kind.
    pub fn start(&self, kind: &'static str) -> Operation {
        Operation {
            operations: self.clone(),
            kind,
            started: Instant::now(),
            outcome: Outcome::Abandoned,
        }
    }

    /// The number of operations of this kind with this outcome.
    #[must_use]
    pub fn count(&self, kind: &'static str, outcome: Outcome) -> u64 {
        self.count.get([kind, outcome.label()])
    }
}

/// An operation under way. It is recorded on drop; without [`Operation::finish`], as abandoned.
#[derive(Debug)]
#[must_use = "an operation that is dropped at once measures nothing"]
pub struct Operation {
    operations: Operations,
    kind: &'static str,
    started: Instant,
    outcome: Outcome,
}

impl Operation {
    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the operation.
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.operations.count.inc([self.kind, self.outcome.label()]);
        self.operations.took.observe([self.kind], self.started.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_counted_once_whatever_happens() {
        let operations = Operations::new(&Metrics::new(), "work", "Work");
        operations.start("a").finish(Outcome::Changed);
        drop(operations.start("a"));
        assert_eq!(operations.count("a", Outcome::Changed), 1);
        assert_eq!(operations.count("a", Outcome::Abandoned), 1);
        assert_eq!(operations.count("a", Outcome::Failed), 0);
    }
}

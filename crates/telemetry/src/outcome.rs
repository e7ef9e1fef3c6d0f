//! What became of a piece of work, and a guard that cannot forget to say so.

use std::time::{Duration, Instant};

use crate::metrics::{Counter, Histogram, Metrics};

/// What became of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    Changed,
    /// There was nothing to do.
    Quiet,
    /// Something that is not ours to force stood in the way, such as a disruption budget.
    Blocked,
    /// It failed.
    Failed,
    /// It was dropped before it ended.
    Abandoned,
}

impl Outcome {
    /// Stable word for metric labels and logs.
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

/// A counter by outcome and a histogram of durations for one sort of work.
#[derive(Clone, Debug)]
pub struct Steps {
    count: Counter<2>,
    took: Histogram<1>,
}

impl Steps {
    /// Registers `{name}_total{kind,outcome}` and `{name}_duration_seconds{kind}`.
    #[must_use]
    pub fn new(metrics: &Metrics, name: &str, help: &str) -> Self {
        Self {
            count: metrics.counter(name, help, ["kind", "outcome"]),
            took: metrics.histogram(&format!("{name}_duration_seconds"), help, ["kind"]),
        }
    }

    /// A piece of work of this kind begins.
    pub fn start(&self, kind: &'static str) -> Step {
        Step {
            steps: self.clone(),
            kind,
            started: Instant::now(),
            outcome: Outcome::Abandoned,
        }
    }

    /// How many pieces of work of this kind had this outcome.
    #[must_use]
    pub fn count(&self, kind: &'static str, outcome: Outcome) -> u64 {
        self.count.get([kind, outcome.label()])
    }
}

/// A piece of work under way. It is recorded when dropped; without [`Step::finish`] as abandoned.
#[derive(Debug)]
#[must_use = "a step that is dropped at once measures nothing"]
pub struct Step {
    steps: Steps,
    kind: &'static str,
    started: Instant,
    outcome: Outcome,
}

impl Step {
    /// How long it has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The work has ended.
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.steps.count.inc([self.kind, self.outcome.label()]);
        self.steps.took.observe([self.kind], self.started.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_counted_once_whatever_happens() {
        let steps = Steps::new(&Metrics::new(), "work", "Work");
        steps.start("a").finish(Outcome::Changed);
        drop(steps.start("a"));
        assert_eq!(steps.count("a", Outcome::Changed), 1);
        assert_eq!(steps.count("a", Outcome::Abandoned), 1);
        assert_eq!(steps.count("a", Outcome::Failed), 0);
    }
}

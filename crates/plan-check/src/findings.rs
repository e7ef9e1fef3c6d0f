//! Violations, collected part by part.

/// One part of a plan that the API server, or a careful reader, would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The write, by kind and name, or `status`.
    pub place: String,
    /// The problem.
    pub what: String,
}

/// Violations so far, and the part that is being checked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    place: Vec<String>,
    pub(crate) violations: Vec<Violation>,
}

impl Findings {
    /// Checks one part of the plan.
    pub(crate) fn at(&mut self, place: impl Into<String>, check: impl FnOnce(&mut Self)) {
        self.place.push(place.into());
        check(self);
        self.place.pop();
    }

    /// Records a violation unless `good`.
    pub(crate) fn unless(&mut self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.violations.push(Violation {
                place: self.place.join(" "),
                what: what(),
            });
        }
    }
}

/// Returns the items that occur more than once, each once.
pub(crate) fn repeated<T: Ord + Clone>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut counts = std::collections::BTreeMap::new();
    for item in items {
        *counts.entry(item).or_insert(0_u32) += 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(item, _)| item)
        .collect()
}

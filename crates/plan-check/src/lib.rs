//! An independent checker of plans, shared by all tests: it knows the API server's rules, not the planner's.
//!
//! Must not be used to decide anything, and must not share code with what makes plans.

mod manifests;
mod names;
mod objects;
mod pods;
mod security;
mod status;
#[cfg(test)]
mod tests;
mod writes;

use plan::{Finalizer, Plan, Write};

/// One thing the API server, or a careful reader, would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which write, by kind and name, or `status`.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// Everything wrong with a plan; empty for a good one.
#[must_use]
pub fn check<C>(plan: &Plan<C>) -> Vec<Violation> {
    let mut found = Findings::default();
    for write in &plan.writes {
        writes::check(write, &mut found);
    }
    writes::check_together(&plan.writes, &mut found);
    check_finalizer(plan, &mut found);
    if let Some(value) = &plan.status {
        found.at("status", |found| status::check(value, found));
    }
    for event in &plan.events {
        found.at("event", |found| {
            found.unless(names::is_reason(event.reason), || {
                format!("reason {:?} is no word", event.reason)
            });
            found.unless(!event.message.trim().is_empty(), || "no note".to_owned());
        });
    }
    found.violations
}

fn check_finalizer<C>(plan: &Plan<C>, found: &mut Findings) {
    found.at("finalizer", |found| match plan.finalizer {
        Finalizer::Leave => {}
        Finalizer::Ensure(name) => {
            found.unless(names::is_qualified(name), || format!("{name:?} is no finalizer"))
        }
        Finalizer::Release(name) => {
            found.unless(names::is_qualified(name), || format!("{name:?} is no finalizer"));
            found.unless(plan.cloud.is_none(), || {
                "released together with a call to the cloud".to_owned()
            });
            // Taking leftovers away is fine; making or disturbing something is not.
            let makes = |write: &Write| matches!(write, Write::Apply(_) | Write::Evict(_));
            found.unless(!plan.writes.iter().any(makes), || {
                "released together with new work".to_owned()
            });
        }
    });
}

/// What was found so far, and where we are.
#[derive(Debug, Default)]
struct Findings {
    place: Vec<String>,
    violations: Vec<Violation>,
}

impl Findings {
    /// Looks at one part of the plan.
    fn at(&mut self, place: impl Into<String>, look: impl FnOnce(&mut Self)) {
        self.place.push(place.into());
        look(self);
        self.place.pop();
    }

    /// Notes a violation unless `good`.
    fn unless(&mut self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.violations.push(Violation {
                place: self.place.join(" "),
                what: what(),
            });
        }
    }
}

/// What occurs more than once, each once.
fn repeated<T: Ord + Clone>(items: impl Iterator<Item = T>) -> Vec<T> {
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

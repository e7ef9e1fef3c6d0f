//! An independent checker of plans, for tests: it knows the API server's rules, not the planners'.
//!
//! It decides nothing, and shares no code with the crates that make plans.

mod containers;
mod findings;
mod manifests;
mod metadata;
mod names;
mod objects;
mod pods;
mod security;
mod status;
mod target;
#[cfg(test)]
mod tests;
mod writes;

use plan::{Finalizer, Plan, Write};

use findings::Findings;
pub use findings::Violation;

/// Returns all violations of a plan; empty for a good one.
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
                format!("reason {:?} must be one word", event.reason)
            });
            found.unless(!event.message.trim().is_empty(), || {
                "the message must not be empty".to_owned()
            });
        });
    }
    found.violations
}

fn check_finalizer<C>(plan: &Plan<C>, found: &mut Findings) {
    found.at("finalizer", |found| match plan.finalizer {
        Finalizer::Leave => {}
        Finalizer::Ensure(name) => found.unless(names::is_qualified(name), || {
            format!("finalizer {name:?} must be a qualified name")
        }),
        Finalizer::Release(name) => {
            found.unless(names::is_qualified(name), || {
                format!("finalizer {name:?} must be a qualified name")
            });
            found.unless(plan.cloud.is_none(), || {
                "released together with a call to the cloud".to_owned()
            });
            // Deleting leftovers is fine; creating or changing objects is not.
            let makes = |write: &Write| matches!(write, Write::Apply(_) | Write::Evict(_));
            found.unless(!plan.writes.iter().any(makes), || {
                "released together with new work".to_owned()
            });
        }
    });
}

//! Validates a Workspace as the API server would, without an API server.
//!
//! Evaluates the same text as the API server: the schema of the CRD with its CEL rules, then the policies of `admission`
//! with the table built from a catalog. No rule is written twice; this crate only adds remedies, from the planner. It is
//! pure: a catalog and an object in, violations out.

mod evaluate;
mod linter;
mod remedy;
mod schema;
mod violation;

pub use linter::{LintError, Linter, NodeSource, Settings};
pub use violation::{Origin, Violation};

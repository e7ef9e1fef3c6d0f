//! What the API server would say about a Workspace, without an API server.
//!
//! The same texts are evaluated as there: the schema of the CRD with its CEL rules, then the policies of `admission`
//! with the table made from a catalog. No rule is written down a second time. Only what a remedy says is added here,
//! by asking the planner. Pure: a catalog and an object in, violations out.

mod evaluate;
mod linter;
mod remedy;
mod schema;
mod violation;

pub use linter::{LintError, Linter, NodeSource, Settings};
pub use violation::{Origin, Violation};

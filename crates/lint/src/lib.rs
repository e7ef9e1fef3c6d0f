//! Validates a Workspace as the API server would, without an API server.
//!
//! Evaluates the same text as the API server: the schema of the CRD with its CEL rules, and the policies of `admission`.
//! Their table is built from a catalog. No rule is written twice; this crate only adds remedies, from the planner. It is
//! pure: a catalog and an object in, violations out.

mod config;
mod error;
mod evaluate;
mod linter;
mod remedy;
mod schema;
mod settings;
mod violation;

pub use config::{config_of, engine_config};
pub use error::LintError;
pub use linter::Linter;
pub use settings::{NodeSource, Settings};
pub use violation::{Origin, Violation};

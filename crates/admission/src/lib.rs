//! Admission policies as data: the checks of the API server beyond the schema.
//!
//! For Workspaces, [`SHAPE`] needs only the object, [`AUTHOR`] asks for the rights of its author, and [`FINALIZER`] keeps
//! our finalizer. [`REVISIONS`] keeps their records. [`CATALOG`] also reads the [`table`] of presets and instance types,
//! which preset-registry publishes as a ConfigMap. [`CONTROLLER`] and [`PROVISIONER`] restrict our own accounts. [`NOTES`],
//! [`CATALOG_NOTES`] and [`CAPACITY_NOTES`] only warn. All are CEL, so the API server evaluates
//! them while our programs are down, and `lint` evaluates the same text offline. This crate must not decide whether a
//! model fits: the table holds the results of `preset_catalog`.

mod author;
mod capacity;
mod catalog;
mod finalizer;
mod guard;
mod notes;
mod policy;
mod revisions;
mod shape;
pub mod table;

pub use author::AUTHOR;
pub use capacity::CAPACITY_NOTES;
pub use catalog::CATALOG;
pub use finalizer::FINALIZER;
pub use guard::{CONTROLLER, PROVISIONER};
pub use notes::{CATALOG_NOTES, NOTES};
pub use policy::{Policy, Rule, Variable, spec};
pub use revisions::REVISIONS;
pub use shape::SHAPE;

//! Two admission policies for Workspaces, as data: the checks of the API server beyond the schema.
//!
//! [`SHAPE`] needs only the object. [`CATALOG`] also reads the [`table`] of presets and instance types, which
//! preset-registry publishes as a ConfigMap. Both are CEL, so the API server evaluates them while all our programs are
//! down, and `lint` evaluates the same text offline. This crate must not decide whether a model fits: the table holds
//! the results of `preset_catalog`.

mod catalog;
mod policy;
mod shape;
pub mod table;

pub use catalog::CATALOG;
pub use policy::{MATCH_CONDITIONS, Policy, Rule, Variable, spec};
pub use shape::SHAPE;

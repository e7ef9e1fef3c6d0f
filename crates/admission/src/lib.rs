//! What the API server checks about a Workspace beyond its schema: two admission policies, as data.
//!
//! [`SHAPE`] needs nothing but the object; [`CATALOG`] also reads the [`table`] of presets and instance types, which
//! the preset registry publishes as a ConfigMap. Both are CEL, so the API server evaluates them while every program of
//! ours is down, and `lint` evaluates the same text offline. Nothing is decided here about whether a model fits: the
//! table holds the answers of `preset_catalog`.

mod catalog;
mod policy;
mod shape;
pub mod table;

pub use catalog::CATALOG;
pub use policy::{MATCH_CONDITIONS, Policy, Rule, Variable, spec};
pub use shape::SHAPE;

//! Instance types of the supported clouds as data: GPUs, memory and price of a node.
//!
//! The tables under `data/` are compiled in; a new instance type is a new line there. Programs may give the text of the
//! administrator's files, too. This crate must not query a cloud or read files, and it knows neither Kubernetes nor models.

mod catalog;
mod ceiling;
pub mod did_you_mean;
mod gpu_model;
mod instance_type;
pub mod ladder;
mod overlay;
mod price;
mod problem;
mod table;

pub use catalog::{Catalog, CatalogError};
pub use ceiling::{Ceiling, Ceilings, UsdPerHour};
pub use instance_type::{Cloud, ComputeCapability, InstanceType, ListPrice, ParseError, Retirement, Vendor};
pub use overlay::{ChangedType, WithFiles};
pub use price::dollars;
pub use problem::{FileProblem, Position};

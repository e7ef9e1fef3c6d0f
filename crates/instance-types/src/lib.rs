//! Instance types of the supported clouds: which GPUs a node has and what it costs, as data.
//!
//! The tables under `data/` are part of the program; adding an instance type is adding a line there. This crate
//! answers questions about the tables and nothing else: it does not ask a cloud what is available or what it costs, reads no
//! files, and knows neither Kubernetes nor models.

mod catalog;
pub mod did_you_mean;
mod instance_type;
mod price;

pub use catalog::{Catalog, CatalogError};
pub use instance_type::{Cloud, ComputeCapability, InstanceType, ListPrice, ParseError, Vendor};

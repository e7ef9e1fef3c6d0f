//! Helpers of integration tests: a cluster, namespaces, identities, and our programs as processes.
//!
//! Knows how to stand things up and wait for them; asserts nothing about the product.

mod crds;
mod env;
mod eventually;
mod identity;
pub mod image_registry;
mod program;
mod stack;
mod tls;
pub mod web;

pub use crds::install_crds;
pub use env::TestEnv;
pub use eventually::eventually;
pub use local_cluster::ports::reserve as reserve_ports;
pub use local_cluster::{AuditEntry, AuditLog, WriteFilter, audit::Mark};
pub use program::{Program, Running, program_path};
pub use stack::{AUTHORITY, ArmEndpoint, Helm, NAMESPACE, Programs, REGISTRY_HOST, Stack, StackOptions};
pub use tls::install_crypto_provider;

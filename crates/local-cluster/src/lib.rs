//! A real Kubernetes control plane on this machine, for tests, demos and benchmarks.
//!
//! [`assets`] finds or makes the programs, [`cluster`] starts and stops them, [`kubeconfig`] and
//! [`audit`] are how others look at the result. Everything here is blocking and knows no Kubernetes
//! client: what is *inside* the cluster is the business of whoever asked for it.

pub mod assets;
pub mod audit;
pub mod cluster;
pub mod kubeconfig;
pub mod ports;
pub mod process;
pub mod progress;

pub use assets::{Assets, Tool};
pub use audit::{AuditEntry, AuditLog, WriteFilter};
pub use cluster::{Cluster, ClusterOptions, Lifetime, Tier};
pub use process::{Process, ProcessSpec};
pub use progress::{Progress, Silent, Stderr};

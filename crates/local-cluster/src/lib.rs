//! A real Kubernetes on this machine, for tests, demos and benchmarks: a control plane, and simulated or real nodes.
//!
//! [`assets`] finds or builds the programs, and [`cluster`] starts and stops them. [`nodes`] boots and kills real nodes, whose
//! pods run [`images`]. [`kubeconfig`] and [`audit`] give access to the result. Everything here blocks, and no Kubernetes client is used: the contents of the cluster are the caller's.

pub mod assets;
pub mod audit;
pub mod cluster;
pub mod images;
pub mod kubeconfig;
pub mod nodes;
pub mod ports;
pub mod process;
pub mod progress;

pub use assets::{Assets, Tool};
pub use audit::{AuditEntry, AuditLog, WriteFilter};
pub use cluster::{Cluster, ClusterOptions, Lifetime, Tier};
pub use nodes::{DevicePlugin, NodeHost, NodeOptions, NodeTaint};
pub use process::{Process, ProcessSpec};
pub use progress::{Progress, Silent, Stderr};

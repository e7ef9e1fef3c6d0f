//! Real nodes on this machine: each is a set of namespaces with its own containerd, kubelet and kube-proxy.
//!
//! A node has an address on one bridge, its pods have addresses behind it, and its control groups have a parent of their
//! own. The kernel is shared, and so are processors and memory. Nothing of the host's file system is written outside the
//! directory of the cluster. One machine holds one cluster with real nodes at a time, because addresses are fixed.
//!
//! `boot.sh` makes the namespaces, `init.sh` is the first process of a node, and `clean.sh` removes what is left.

mod authority;
mod directory;
mod files;
mod host;
mod machine;
mod options;
mod pause;
mod requirements;

pub(crate) use authority::Authority;
pub use host::NodeHost;
pub(crate) use machine::{CLEAN_SCRIPT, Machine};
pub use options::{DevicePlugin, NodeOptions, NodeTaint};
pub(crate) use options::{HostConfig, Programs};
pub(crate) use requirements::program;
pub use requirements::{ensure_programs, ensure_root};

/// The address of the host on the bridge. The API server, DNS and the image registry listen there.
pub const HOST_ADDRESS: &str = "10.224.0.1";

/// The address of the image registry of the cluster, without TLS. Nodes call it [`REGISTRY_NAME`].
pub const REGISTRY_ADDRESS: &str = "10.224.0.1:25000";

/// The name of [`HOST_ADDRESS`] for pods.
pub const HOST_NAME: &str = "host.test";

/// The name of the image registry in references of images.
pub const REGISTRY_NAME: &str = "registry.test";

/// The cluster IP of DNS.
pub(crate) const DNS_ADDRESS: &str = "10.96.0.10";

/// The port on which DNS listens at [`HOST_ADDRESS`].
pub(crate) const DNS_PORT: u16 = 53;

//! A registry of a user: without TLS, with a password, and known by a name.

use anyhow::{Context as _, Result};
use local_cluster::nodes::HOST_ADDRESS;
use testkit::image_registry::{Auth, Registry};

/// Starts it on the address that pods reach.
pub(crate) fn start() -> Result<Registry> {
    let [port] = testkit::reserve_ports::<1>()?;
    let address = format!("{HOST_ADDRESS}:{port}").parse()?;
    Registry::start_on(address, &Auth::Basic, None)?.context("docker-registry is not installed")
}

//! A registry of a user: without TLS, with a password, and known by a name. It ends with the cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use local_cluster::nodes::{HOST_ADDRESS, HOST_NAME};
use local_cluster::{Process, ProcessSpec};
use testkit::TestEnv;
use testkit::image_registry::{self, Auth};

/// The registry and all that is in it.
#[derive(Debug)]
pub(crate) struct UserRegistry {
    address: SocketAddr,
    directory: PathBuf,
    process: Process,
}

impl UserRegistry {
    /// Starts it on the address that pods reach.
    pub(crate) fn start(env: &TestEnv) -> Result<Self> {
        let [port] = testkit::reserve_ports::<1>()?;
        let address: SocketAddr = format!("{HOST_ADDRESS}:{port}").parse()?;
        let directory = env.cluster().dir().join("user-registry");
        std::fs::create_dir(&directory).context("failed to create the directory of the registry")?;
        let file = image_registry::configure(&directory, address, &Auth::Basic, None)?;
        let process = env.cluster().spawn(&spec(file))?;
        Ok(Self {
            address,
            directory,
            process,
        })
    }

    /// `HOST:PORT`, for pods.
    pub(crate) fn name(&self) -> String {
        format!("{HOST_NAME}:{}", self.address.port())
    }

    /// Ends it, as a crash does. All that is in it stays.
    pub(crate) fn stop(&mut self) -> Result<()> {
        Ok(self.process.kill9()?)
    }

    /// Starts it again on the same address.
    pub(crate) fn start_again(&mut self, env: &TestEnv) -> Result<()> {
        self.process = env.cluster().spawn(&spec(self.directory.join("config.yml")))?;
        Ok(())
    }

    /// Reports whether it has a blob or a manifest with this digest.
    pub(crate) fn has(&self, digest: &str) -> bool {
        image_registry::blob(&self.directory, digest).is_file()
    }
}

fn spec(file: PathBuf) -> ProcessSpec {
    ProcessSpec::new("user-registry", "docker-registry").args(["serve".into(), file.into_os_string()])
}

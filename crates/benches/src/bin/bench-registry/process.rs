//! The servers as processes, and what they have used by the kernel's own books.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

/// Time limit until a server listens.
const START: Duration = Duration::from_secs(20);

/// A started server; it is killed when dropped.
pub(crate) struct Server {
    _child: Child,
    address: SocketAddr,
    pid: u32,
}

impl Server {
    /// The registry, with a directory of users' presets.
    pub(crate) async fn registry(presets_dir: Option<&Path>) -> Result<Self> {
        let address = free_address()?;
        let mut args: Vec<OsString> = [
            "--metrics-bind-address=127.0.0.1:0",
            "--health-probe-bind-address=127.0.0.1:0",
            // The benchmark compares it with a bare server.
            "--insecure",
        ]
        .map(OsString::from)
        .to_vec();
        args.push(format!("--grpc-bind-address={address}").into());
        args.push("--log-filter=warn".into());
        if let Some(directory) = presets_dir {
            args.extend([OsString::from("--presets-dir"), directory.into()]);
        }
        Self::start("preset-registry", &args, address).await
    }

    /// A server that does nothing but answer.
    pub(crate) async fn bare() -> Result<Self> {
        let address = free_address()?;
        let args = [OsString::from("--serve-bare"), address.to_string().into()];
        Self::start("bench-registry", &args, address).await
    }

    async fn start(program: &str, args: &[OsString], address: SocketAddr) -> Result<Self> {
        let path = std::env::current_exe()?.with_file_name(program);
        let child = Command::new(&path)
            .args(args)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started: is it built?", path.display()))?;
        let pid = child.id().context("it ended at once")?;
        let server = Self {
            _child: child,
            address,
            pid,
        };
        let listening = async {
            while server.connect().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(START, listening)
            .await
            .with_context(|| format!("{program} does not listen"))?;
        Ok(server)
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Result<PresetRegistryClient<Channel>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        Ok(PresetRegistryClient::new(
            endpoint.tcp_nodelay(true).connect().await?,
        ))
    }

    /// Resident memory, in MB (10⁶ bytes).
    pub(crate) fn rss_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .context("no VmRSS")?
            .trim()
            .trim_end_matches(" kB")
            .trim()
            .parse()?;
        Ok(kib * 1024.0 / 1e6)
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

//! The client of the API server, from flags. It opens no connection.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::header::USER_AGENT;
use http::{HeaderValue, Response};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::limit::RateLimitLayer;
use tower::util::MapResponseLayer;

use crate::clock;

/// Flags for the API server, to flatten into a program's own.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "API server")]
pub struct ClientArgs {
    /// Kubeconfig file. Without it: `$KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Most requests to the API server a second. Without it, the server's priority and fairness decide.
    #[arg(long, env = "KUBE_QPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub kube_qps: Option<u32>,
}

/// Makes `ring` the TLS provider of the process. Call it first thing in `main`: nothing else installs one.
pub fn install_tls_provider() {
    // An error means that a provider is installed already, which is enough.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Creates the client. Requests carry `program/version` as user agent, which audit logs show.
///
/// # Errors
/// If no configuration is found, or it is unusable.
pub async fn connect(args: &ClientArgs, program: &str, version: &str) -> anyhow::Result<Client> {
    let mut config = configuration(args).await?;
    let agent =
        HeaderValue::from_str(&format!("{program}/{version}")).context("failed to build the user agent")?;
    config.headers.push((USER_AGENT, agent));
    config.connect_timeout = Some(Duration::from_secs(5));
    // The controller has its own back-off; kube's would also retry a refused eviction for minutes.
    config.default_retry = false;
    let server = config.cluster_url.clone();
    let builder = ClientBuilder::try_from(config)
        .with_context(|| format!("failed to build a client for {server}"))?
        .with_layer(&MapResponseLayer::new(dated));
    Ok(match args.kube_qps {
        Some(qps) => builder
            .with_layer(&RateLimitLayer::new(qps.into(), Duration::from_secs(1)))
            .build(),
        None => builder.build(),
    })
}

/// Reads the date of a response.
fn dated<B>(response: Response<B>) -> Response<B> {
    clock::read(response.headers());
    response
}

async fn configuration(args: &ClientArgs) -> anyhow::Result<Config> {
    let Some(path) = &args.kubeconfig else {
        return Config::infer()
            .await
            .context("expected a kubeconfig or a service account");
    };
    let kubeconfig = Kubeconfig::read_from(path)
        .with_context(|| format!("failed to read --kubeconfig {}", path.display()))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("failed to use --kubeconfig {}", path.display()))
}

//! The client of the API server, from flags. It opens no connection yet.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::limit::RateLimitLayer;

/// Flags about the API server, to flatten into a program's own.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "API server")]
pub struct ClientArgs {
    /// Kubeconfig file; without it `$KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Requests to the API server a second, at most; without it the server's own fairness decides.
    #[arg(long, env = "KUBE_QPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub kube_qps: Option<u32>,
}

/// Makes `ring` the TLS provider of the process. Call it first thing in `main`: nothing else installs one.
pub fn install_tls_provider() {
    // An error means that one is installed already, and then there is nothing to do.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The client. Requests carry `program/version` as user agent, by which audit logs are told apart.
///
/// # Errors
/// When no configuration is found or it cannot be used.
pub async fn connect(args: &ClientArgs, program: &str, version: &str) -> anyhow::Result<Client> {
    let mut config = configuration(args).await?;
    let agent = HeaderValue::from_str(&format!("{program}/{version}")).context("user agent")?;
    config.headers.push((USER_AGENT, agent));
    config.connect_timeout = Some(Duration::from_secs(5));
    // The drive has its own back-off; kube's would also retry a refused eviction for minutes.
    config.default_retry = false;
    let server = config.cluster_url.clone();
    let builder = ClientBuilder::try_from(config).with_context(|| format!("client for {server}"))?;
    Ok(match args.kube_qps {
        Some(qps) => builder
            .with_layer(&RateLimitLayer::new(qps.into(), Duration::from_secs(1)))
            .build(),
        None => builder.build(),
    })
}

async fn configuration(args: &ClientArgs) -> anyhow::Result<Config> {
    let Some(path) = &args.kubeconfig else {
        return Config::infer()
            .await
            .context("no kubeconfig and no service account");
    };
    let kubeconfig = Kubeconfig::read_from(path)
        .with_context(|| format!("--kubeconfig {} cannot be read", path.display()))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("--kubeconfig {} cannot be used", path.display()))
}

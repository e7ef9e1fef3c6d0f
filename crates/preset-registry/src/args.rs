//! The command line of the preset registry. Every flag can also be an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use admission::table::{Unlisted, VerdictArgs};
use clap::Parser;
use instance_types::Cloud;
use operator_runtime::{ClientArgs, ConfigMapName, InstanceTypeArgs};
use serve::TlsFiles;

use crate::authority::AuthorityOptions;
use crate::callers::TokenOptions;
use crate::hub::HubOptions;
use crate::publish::PublishOptions;
use crate::server::ServerOptions;

/// Serves model presets over gRPC.
#[derive(Clone, Debug, Parser)]
#[command(name = "preset-registry", version)]
pub struct Args {
    /// Address of the gRPC server.
    #[arg(long, env = "GRPC_BIND_ADDRESS", default_value = "0.0.0.0:50051")]
    pub grpc_bind_address: SocketAddr,
    /// Metrics and probes.
    #[command(flatten)]
    pub admin: serve::AdminArgs,
    /// Directory of users' preset files, such as a mounted ConfigMap; read again when it changes.
    #[arg(long, env = "PRESETS_DIR")]
    pub presets_dir: Option<PathBuf>,
    /// Most open gRPC connections. Beyond it, the address with the most connections loses one to another address.
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "1024", value_parser = connections)]
    pub max_connections: usize,
    /// Most open gRPC connections of one address; further ones are closed at once.
    #[arg(long, env = "MAX_CONNECTIONS_PER_PEER", default_value = "64", value_parser = connections)]
    pub max_connections_per_peer: usize,
    /// Model hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// Certificates.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Callers.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Instance types of the administrator.
    #[command(flatten)]
    pub instance_types: InstanceTypeArgs,
    /// Publication for admission.
    #[command(flatten)]
    pub admission: AdmissionArgs,
    /// API server, to publish.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Logs, traces.
    #[command(flatten)]
    pub telemetry: telemetry::TelemetryArgs,
}

/// Flags about a model hub: for names outside the catalog, and for commits of presets that are not pinned.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Model hub")]
pub struct HubArgs {
    /// URL of the hub, such as https://huggingface.co; without it, no hub is used.
    #[arg(long, env = "HUB_ENDPOINT")]
    pub hub_endpoint: Option<String>,
    /// File with a token of the hub, such as a mounted Secret; read for every request.
    #[arg(long, env = "HUB_TOKEN_FILE", requires = "hub_endpoint")]
    pub hub_token_file: Option<PathBuf>,
    /// PEM file of further authorities for the hub's certificate; read again when it changes.
    #[arg(long, env = "HUB_CA_FILE", requires = "hub_endpoint")]
    pub hub_ca_file: Option<PathBuf>,
    /// Directory that keeps models of the hub across restarts.
    #[arg(long, env = "HUB_CACHE_DIR", requires = "hub_endpoint")]
    pub hub_cache_dir: Option<PathBuf>,
    /// Host that the hub may redirect to; may be repeated, and begin with `*.` for all hosts below.
    #[arg(
        long,
        env = "HUB_REDIRECT_HOST",
        value_delimiter = ',',
        default_value = "*.hf.co,*.huggingface.co"
    )]
    pub hub_redirect_host: Vec<String>,
    /// Permit private addresses of the hub's name; implied if the endpoint is written as one.
    #[arg(long, env = "HUB_ALLOW_PRIVATE_ENDPOINT", requires = "hub_endpoint")]
    pub hub_allow_private_endpoint: bool,
    /// Ask the hub only for the commits of presets that are not pinned. Models outside the catalog stay unknown.
    #[arg(long, env = "HUB_COMMITS_ONLY", requires = "hub_endpoint")]
    pub hub_commits_only: bool,
}

/// Flags about encryption. All files are PEM and read again when they change.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// ConfigMap, as NAMESPACE/NAME, to publish the authority of the server's own certificates in. The server makes and renews
    /// them itself.
    #[arg(long, env = "CA_CONFIG_MAP", conflicts_with = "tls_cert_file")]
    pub ca_config_map: Option<ConfigMapName>,
    /// DNS name of the server for its own certificates; may be repeated. `localhost` is always added.
    #[arg(long, env = "TLS_NAMES", value_delimiter = ',', requires = "ca_config_map")]
    pub tls_name: Vec<String>,
    /// Lifetime of own certificates, in seconds. They are renewed after half of it.
    #[arg(long, env = "CERTIFICATE_LIFETIME_SECONDS", default_value = "1209600",
          value_parser = clap::value_parser!(u32).range(10..))]
    pub certificate_lifetime_seconds: u32,
    /// Name of this replica in the ConfigMap, such as the pod's name; the default is the host's.
    #[arg(long, env = "POD_NAME", value_parser = replica)]
    pub replica_name: Option<String>,
    /// Certificate of the gRPC server.
    #[arg(long, env = "TLS_CERT_FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of the certificate.
    #[arg(long, env = "TLS_KEY_FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// Authorities of clients; if set, a client must show a certificate of one of them, and tokens are not checked.
    #[arg(
        long,
        env = "TLS_CLIENT_CA_FILE",
        requires = "tls_cert_file",
        conflicts_with = "token_audience"
    )]
    pub tls_client_ca_file: Option<PathBuf>,
}

/// Flags about callers.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// Serve without encryption, and every caller. Without this flag, a certificate and a check of callers are required.
    #[arg(
        long,
        env = "INSECURE",
        conflicts_with_all = ["ca_config_map", "tls_cert_file", "token_audience"]
    )]
    pub insecure: bool,
    /// Audience of callers' tokens. A caller must show a ServiceAccount's token for it.
    #[arg(long, env = "TOKEN_AUDIENCE", requires = "access_namespace")]
    pub token_audience: Option<String>,
    /// Namespace in which callers must have the right to get `presets.kaito.sh`.
    #[arg(long, env = "ACCESS_NAMESPACE")]
    pub access_namespace: Option<String>,
}

/// Flags about the ConfigMap that the admission policy of the chart reads.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Admission")]
pub struct AdmissionArgs {
    /// ConfigMap, as NAMESPACE/NAME, to publish the catalog in; without it, nothing is published.
    #[arg(long, env = "PUBLISH_CONFIG_MAP")]
    pub publish_config_map: Option<ConfigMapName>,
    /// Cloud whose instance types are published: azure, aws, gcp, arc or other.
    #[arg(long, env = "PUBLISH_CLOUD", default_value = "azure")]
    pub publish_cloud: Cloud,
    /// Settings of the installation that change verdicts.
    #[command(flatten)]
    pub verdicts: VerdictArgs,
}

impl Args {
    /// The options of the publication for admission.
    #[must_use]
    pub fn publish_options(&self) -> Option<PublishOptions> {
        let unlisted = if self.hub.hub_endpoint.is_some() {
            Unlisted::MayBeOnHub
        } else {
            Unlisted::Refused
        };
        Some(PublishOptions {
            config_map: self.admission.publish_config_map.clone()?,
            table: self
                .admission
                .verdicts
                .options(self.admission.publish_cloud, unlisted),
        })
    }

    /// Checks that the server is encrypted and knows its callers, or that the user gave that up.
    ///
    /// # Errors
    /// A flag is missing; the text names it.
    pub fn check_access(&self) -> anyhow::Result<()> {
        if self.access.insecure {
            return Ok(());
        }
        if self.tls.ca_config_map.is_none() && self.tls.tls_cert_file.is_none() {
            anyhow::bail!("expected --ca-config-map, --tls-cert-file or --insecure");
        }
        if self.access.token_audience.is_none() && self.tls.tls_client_ca_file.is_none() {
            anyhow::bail!("expected --token-audience, --tls-client-ca-file or --insecure");
        }
        Ok(())
    }

    /// The options of own certificates, if the server makes them.
    #[must_use]
    pub fn authority_options(&self) -> Option<AuthorityOptions> {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let given = self.tls.replica_name.clone();
        let replica = given.or_else(|| replica(host().trim()).ok());
        Some(AuthorityOptions {
            config_map: self.tls.ca_config_map.clone()?,
            replica: replica.unwrap_or_else(|| "preset-registry".to_owned()),
            names: self.tls.tls_name.clone(),
            lifetime: Duration::from_secs(self.tls.certificate_lifetime_seconds.into()),
            audience: self.access.token_audience.clone().unwrap_or_default(),
        })
    }

    /// The options of the check of tokens, if they are checked.
    #[must_use]
    pub fn token_options(&self) -> Option<TokenOptions> {
        let audience = self.access.token_audience.clone()?;
        Some(TokenOptions::new(audience, self.access.access_namespace.clone()?))
    }

    /// The options of the server.
    #[must_use]
    pub fn server_options(&self) -> ServerOptions {
        let pair = self.tls.tls_cert_file.clone().zip(self.tls.tls_key_file.clone());
        let tls = pair.map(|(certificate, key)| TlsFiles {
            certificate,
            key,
            client_authorities: self.tls.tls_client_ca_file.clone(),
        });
        let hub = self.hub.hub_endpoint.clone().map(|endpoint| HubOptions {
            endpoint,
            token_file: self.hub.hub_token_file.clone(),
            ca_file: self.hub.hub_ca_file.clone(),
            cache_dir: self.hub.hub_cache_dir.clone(),
            redirect_hosts: self.hub.hub_redirect_host.clone(),
            allow_private_endpoint: self.hub.hub_allow_private_endpoint,
            commits_only: self.hub.hub_commits_only,
        });
        ServerOptions {
            hub,
            presets_dir: self.presets_dir.clone(),
            tls,
            engine: self.admission.verdicts.engine.facts(),
            max_connections: self.max_connections,
            max_connections_per_peer: self.max_connections_per_peer,
            ..ServerOptions::default()
        }
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number @ 1..=100_000) => Ok(number),
        _ => Err("expected a number from 1 to 100000".to_owned()),
    }
}

/// Parses a name that can be part of a key of a ConfigMap and of a field manager.
fn replica(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !text.is_empty() && text.len() <= 100 && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 100 letters, digits, dashes, dots and underscores".to_owned())
    }
}

#[cfg(test)]
mod tests;

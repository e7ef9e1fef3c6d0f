//! Flags of downloads.

use render::Downloads;

/// Allowed downloads of the deployed containers.
#[derive(Clone, Debug, clap::Args)]
pub struct DownloadArgs {
    /// Model hub for weights that no image carries: a server with the paths of https://huggingface.co.
    #[arg(long, env = "HUB_ENDPOINT", default_value_t = Downloads::default().hub)]
    pub hub_endpoint: String,
    /// Allow http URLs in Workspaces. Anyone on the network path can change such downloads.
    #[arg(long, env = "DATA_ALLOW_HTTP")]
    pub data_allow_http: bool,
    /// Host that every Workspace may reach, even at a private address; may be repeated.
    #[arg(long, env = "DATA_ALLOW_HOSTS", value_delimiter = ',', value_name = "HOST", value_parser = host)]
    pub data_allow_host: Vec<String>,
    /// Registry (HOST or HOST:PORT) of adapters, data and results without TLS; may be repeated.
    #[arg(long, env = "PLAIN_HTTP_REGISTRIES", value_delimiter = ',', value_name = "REGISTRY", value_parser = host)]
    pub plain_http_registry: Vec<String>,
}

/// Parses a host name or an address, without scheme, port and blanks.
fn host(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if !text.is_empty() && !text.starts_with('-') && !text.contains("://") && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("expected a host name or address, such as data.example.com".to_owned())
    }
}

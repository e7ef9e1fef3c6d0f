//! The options of the hub.

use std::path::PathBuf;

use egress::BadEndpoint;

/// The hub and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// The URL of the hub, such as `https://huggingface.co`.
    pub endpoint: String,
    /// A file with a token. It is read for every request.
    pub token_file: Option<PathBuf>,
    /// PEM file of further authorities for the hub's certificate. It is read again when it changes.
    pub ca_file: Option<PathBuf>,
    /// A directory that keeps models across restarts.
    pub cache_dir: Option<PathBuf>,
    /// Hosts that the hub may redirect to, such as `*.hf.co`.
    pub redirect_hosts: Vec<String>,
    /// Permits private addresses of the hub's name.
    pub allow_private_endpoint: bool,
    /// Asks only for the commits of presets that are not pinned. Other models of the hub are unknown.
    pub commits_only: bool,
}

/// Options that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The endpoint is not the URL of a hub.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// The token would be sent without encryption.
    #[error(
        "--hub-token-file needs an https:// endpoint: without encryption anyone on the way can read the token"
    )]
    ExposedToken,
    /// The client cannot be created, mostly for the file of authorities.
    #[error("failed to create a client of the hub")]
    Client(#[from] egress::Error),
}

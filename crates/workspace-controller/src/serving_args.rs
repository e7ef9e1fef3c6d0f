//! Flags of the front, keys and certificates of Workspaces.

use render::Serving;

/// Defaults of serving, which annotations of a Workspace change.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Serving")]
pub struct ServingArgs {
    /// Put inference-server before engines that are not ours, as a sidecar.
    #[arg(long, env = "FRONT", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub front: bool,
    /// Secret with API keys in the namespace of every Workspace; empty admits every client.
    #[arg(long, env = "API_KEYS_SECRET", default_value = "", value_name = "NAME")]
    pub api_keys_secret: String,
    /// Secret with the certificate of the API in the namespace of every Workspace; empty serves plain text.
    #[arg(long, env = "TLS_SECRET", default_value = "", value_name = "NAME")]
    pub tls_secret: String,
    /// Origin whose web pages may use the API of every Workspace, such as https://chat.example.com; `*` stands for all; may be
    /// repeated.
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origin: Vec<String>,
    /// Seconds without a token, with requests in flight, after which an engine counts as hung and is restarted.
    #[arg(long, env = "STALL_SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub stall_seconds: Option<u32>,
    /// Storage class of volumes that keep the weights from the hub when a pod ends; empty downloads them for each pod.
    #[arg(long, env = "WEIGHTS_STORAGE_CLASS", default_value = "", value_name = "NAME")]
    pub weights_storage_class: String,
}

impl ServingArgs {
    /// Returns the defaults of serving.
    pub(crate) fn serving(&self) -> Serving {
        Serving {
            front: self.front,
            api_keys_secret: non_empty(&self.api_keys_secret),
            tls_secret: non_empty(&self.tls_secret),
            cors_origins: self.cors_origin.clone(),
            stall_seconds: self.stall_seconds,
            weights_class: non_empty(&self.weights_storage_class),
            ..Serving::default()
        }
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

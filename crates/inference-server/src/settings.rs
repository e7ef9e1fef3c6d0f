//! Settings of the parts of the program: plain values, made by `args` from flags and the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use model::Precision;
use serde::Deserialize;

/// Settings of the program.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Address to listen at.
    pub(crate) address: SocketAddr,
    /// Time that running requests have to finish after a stop.
    pub(crate) drain_timeout: Duration,
    /// Maximum of open connections; further clients wait.
    pub(crate) max_connections: usize,
    /// Time without a token, with requests in flight, after which the server is not healthy.
    pub(crate) stall: Duration,
    pub(crate) security: SecuritySettings,
    pub(crate) backend: Backend,
}

/// The source of completions.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    /// A model in this process.
    Model(Box<ModelSettings>),
    /// Another OpenAI-compatible server.
    Proxy(ProxySettings),
}

/// Settings of a model in this process.
#[derive(Clone, Debug)]
pub(crate) struct ModelSettings {
    pub(crate) load: LoadSettings,
    /// Hub to download the weights from; without one they must exist.
    pub(crate) hub: Option<HubSettings>,
}

/// Settings for the connection to another server.
#[derive(Clone, Debug)]
pub(crate) struct ProxySettings {
    pub(crate) url: String,
    pub(crate) pipeline: Pipeline,
    /// Maximum of requests that are not answered yet.
    pub(crate) max_in_flight: usize,
    pub(crate) drain: Option<DrainSettings>,
}

/// Settings for the requested end of the server.
#[derive(Clone, Debug)]
pub(crate) struct DrainSettings {
    /// Address at which the end is requested. Only this pod's containers may reach it.
    pub(crate) address: SocketAddr,
    /// Time before new requests are refused: clients learn with a delay that the pod ends.
    pub(crate) delay: Duration,
}

/// Settings for API keys, TLS and pages of other origins.
#[derive(Clone, Debug)]
pub(crate) struct SecuritySettings {
    pub(crate) api_key_file: Option<PathBuf>,
    pub(crate) tls_cert_file: Option<PathBuf>,
    pub(crate) tls_key_file: Option<PathBuf>,
    /// Origins whose pages may use the API; `*` stands for all.
    pub(crate) cors_origins: Vec<String>,
}

/// Settings for loading a model. `None` means a default that depends on the machine or the model.
#[derive(Clone, Debug)]
pub(crate) struct LoadSettings {
    pub(crate) weights_dir: PathBuf,
    /// Repository of the weights, for messages.
    pub(crate) repository: Option<String>,
    pub(crate) served_name: String,
    pub(crate) precision: Precision,
    pub(crate) pipeline: Pipeline,
    pub(crate) chat_template: Option<String>,
    pub(crate) threads: Option<usize>,
    pub(crate) max_context_tokens: Option<usize>,
    pub(crate) max_sequences: Option<usize>,
    pub(crate) max_waiting: Option<usize>,
    pub(crate) step_tokens: Option<usize>,
    pub(crate) cache_mib: Option<usize>,
    pub(crate) adapters: AdapterSettings,
}

/// Settings for adapters.
#[derive(Clone, Debug)]
pub(crate) struct AdapterSettings {
    pub(crate) directory: PathBuf,
    pub(crate) mode: AdapterMode,
    /// Strengths by name; 1 for the others.
    pub(crate) strengths: Vec<(String, f32)>,
}

/// Settings for the download of weights.
#[derive(Clone, Debug)]
pub(crate) struct HubSettings {
    pub(crate) endpoint: String,
    /// Repository as `OWNER/NAME`.
    pub(crate) repository: Option<String>,
    /// Commit, branch or tag.
    pub(crate) revision: String,
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of further authorities.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) max_bytes: u64,
    pub(crate) weights_dir: PathBuf,
    pub(crate) precision: Precision,
}

/// Input that `/chat` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pipeline {
    /// `prompt`.
    TextGeneration,
    /// `messages`.
    Conversational,
}

/// Use of adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AdapterMode {
    /// Merge all adapters into the weights at start.
    Merge,
    /// Use an adapter for the requests whose `model` is its name.
    Request,
}

//! Choices about serving that do not depend on the model: the front, keys, encryption, adapters, processors and memory.

/// Choices about serving. The installation has defaults, and annotations of a Workspace change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Put our server before engines that are not ours.
    pub front: bool,
    /// Secret with API keys, one a line, under the key `keys`; `None` admits every client.
    pub api_keys_secret: Option<String>,
    /// Secret of the type `kubernetes.io/tls`; `None` serves plain text.
    pub tls_secret: Option<String>,
    /// Origins whose web pages may use the API; `*` stands for all.
    pub cors_origins: Vec<String>,
    /// Seconds without a token, with requests in flight, after which an engine counts as hung; `None` is the server's default.
    pub stall_seconds: Option<u32>,
    /// Use of adapters by our own engine.
    pub adapter_mode: AdapterMode,
    /// Storage class of volumes that keep the weights from the hub when a pod ends; `None` downloads them for each pod.
    pub weights_class: Option<String>,
    /// Processors that the engine asks for, as the API server spells them.
    pub cpu: Option<String>,
    /// Memory that the engine asks for and may use at most, as the API server spells it.
    pub memory: Option<String>,
}

/// Use of adapters by our own engine. vLLM always has them beside the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterMode {
    /// All are merged into the weights.
    #[default]
    Merge,
    /// Requests name one.
    Request,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            front: true,
            api_keys_secret: None,
            tls_secret: None,
            cors_origins: Vec::new(),
            stall_seconds: None,
            adapter_mode: AdapterMode::default(),
            weights_class: None,
            cpu: None,
            memory: None,
        }
    }
}

impl Serving {
    /// Scheme of the API's port, as probes name it.
    pub(crate) fn scheme(&self) -> Option<String> {
        self.tls_secret.as_ref().map(|_| "HTTPS".to_owned())
    }
}

//! What the provider is told: which cluster, which identity, which budgets. Values; reads no environment.

use std::path::PathBuf;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::gate::Limits;

/// Which cluster, reached how, as whom.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    /// Azure Resource Manager.
    pub endpoint: Endpoint,
    /// The token service.
    pub authority: Endpoint,
    /// Subscription id.
    pub subscription: String,
    /// Resource group of the managed cluster; letter case is kept.
    pub resource_group: String,
    /// Managed cluster; letter case is kept.
    pub cluster: String,
    /// Entra tenant.
    pub tenant: String,
    /// Client id of the identity.
    pub client: String,
    /// File with the projected service account token.
    pub token_file: PathBuf,
}

/// Budgets and time limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Request budgets; `None` asks Azure without any of our own.
    pub limits: Option<Limits>,
    /// How long a PUT may take: its answer was seen to need 8 s, and giving up does not undo it.
    pub put_timeout: Duration,
    /// How long any other request may take.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Some(Limits::default()),
            put_timeout: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
        }
    }
}

/// The provider cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No HTTP client.
    #[error("cannot make an HTTP client: {0}")]
    HttpClient(String),
    /// No identity, most often because the token file is missing.
    #[error(
        "no workload identity: {0}; does the pod carry the label azure.workload.identity/use=true and its service account \
         the annotation azure.workload.identity/client-id?"
    )]
    Identity(String),
}

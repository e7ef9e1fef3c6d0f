//! Configuration of the provider: the cluster, the identity and the limits. Values only; the environment is read in
//! `args`.

use std::path::PathBuf;
use std::time::Duration;

use cloudprovider::RateLimits;

use crate::endpoint::Endpoint;

/// The cluster, its address and the identity.
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
    /// Region of the cluster; empty if it is to be read from the cluster.
    pub region: String,
    /// Entra tenant.
    pub tenant: String,
    /// Client id of the identity.
    pub client: String,
    /// File with the projected service account token.
    pub token_file: PathBuf,
}

/// Limits on requests, and their timeouts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits on requests; `None` sends all of them.
    pub limits: Option<RateLimits>,
    /// Timeout of a PUT. Responses took up to 8 s in recordings, and giving up does not undo the request.
    pub put_timeout: Duration,
    /// Timeout of any other request.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Some(RateLimits::default()),
            put_timeout: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
        }
    }
}

/// Reason why no provider can be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The HTTP client could not be created.
    #[error("failed to create an HTTP client: {0}")]
    HttpClient(String),
    /// The identity could not be read, most often because the token file is missing.
    #[error(
        "no workload identity: {0}; does the pod carry the label azure.workload.identity/use=true and its service account \
         the annotation azure.workload.identity/client-id?"
    )]
    Identity(String),
}

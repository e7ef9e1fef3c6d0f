//! The port.

use async_trait::async_trait;

use crate::error::ProviderError;
use crate::pool::{AgentPool, AgentPoolSpec};

/// A cloud that makes agent pools. Calls are short: none waits for a long-running operation.
#[async_trait]
pub trait CloudProvider: Send + Sync + std::fmt::Debug {
    /// Every pool of the cluster, all pages; an error when any page failed.
    async fn list(&self) -> Result<Vec<AgentPool>, ProviderError>;

    /// One pool; class `NotFound` only when the cluster is known to exist and the pool is not in it.
    async fn get(&self, name: &str) -> Result<AgentPool, ProviderError>;

    /// Asks for a pool that does not exist yet; class `Precondition` when one of the name does.
    async fn create(&self, spec: &AgentPoolSpec) -> Result<Accepted, ProviderError>;

    /// Asks for a pool to be deleted; class `NotFound` when it is gone.
    async fn delete(&self, name: &str, etag: Option<&str>) -> Result<Accepted, ProviderError>;

    /// Asks for the running operation on a pool to be cancelled.
    async fn abort(&self, name: &str) -> Result<Accepted, ProviderError>;

    /// Where a long-running operation is; the URL is opaque and comes from [`Accepted`].
    async fn operation(&self, url: &str) -> Result<OperationStatus, ProviderError>;
}

/// The cloud has taken a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The pool as the answer shows it, where it does.
    pub pool: Option<AgentPool>,
    /// Where the operation can be followed; opaque.
    pub operation_url: Option<String>,
    /// The cloud's id of the request.
    pub request_id: Option<String>,
}

/// Where a long-running operation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// Running; the cloud's own word.
    Running(String),
    /// Done.
    Succeeded,
    /// Failed or cancelled, and why.
    Failed(ProviderError),
}

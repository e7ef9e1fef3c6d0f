//! The port.

use async_trait::async_trait;

use crate::error::ProviderError;
use crate::instance::Instance;
use crate::launch::LaunchSpec;
use crate::survey::{OfferedType, Quotas};

/// A cloud that launches instances. Calls are short: none waits for a long-running operation.
#[async_trait]
pub trait CloudProvider: Send + Sync + std::fmt::Debug {
    /// Lists every instance of the cluster, on all pages; fails when any page failed.
    async fn list(&self) -> Result<Vec<Instance>, ProviderError>;

    /// Reads one instance. Class `NotFound` only if the cluster is known to exist and has no such instance.
    async fn get(&self, name: &str) -> Result<Instance, ProviderError>;

    /// Requests an instance that does not exist yet. Class `Precondition` if one of the name does.
    async fn create(&self, spec: &LaunchSpec) -> Result<Accepted, ProviderError>;

    /// Requests the deletion of an instance, unchanged if a version is given. Class `NotFound` if it is gone.
    async fn delete(&self, name: &str, version: Option<&str>) -> Result<Accepted, ProviderError>;

    /// Requests that the running operation on an instance is canceled.
    async fn abort(&self, name: &str) -> Result<Accepted, ProviderError>;

    /// Reads the status of a long-running operation. The URL is opaque and comes from [`Accepted`].
    async fn operation(&self, url: &str) -> Result<OperationStatus, ProviderError>;

    /// Lists the instance types of the cluster's region, on all pages. It yields to every other call.
    async fn offered_types(&self) -> Result<Vec<OfferedType>, ProviderError>;

    /// Reads the quotas of the cluster's region. It yields to every other call.
    async fn quotas(&self) -> Result<Quotas, ProviderError>;
}

/// A request that the cloud accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The instance, if the response shows it.
    pub instance: Option<Instance>,
    /// URL of the operation's status; opaque.
    pub operation_url: Option<String>,
    /// The cloud's id of the request.
    pub request_id: Option<String>,
}

/// Status of a long-running operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// Running, in the cloud's own word, with an error that the document may show already.
    Running(String, Option<ProviderError>),
    /// Done, with an error that the document may show nevertheless.
    Succeeded(Option<ProviderError>),
    /// Failed or canceled, with the reason.
    Failed(ProviderError),
}

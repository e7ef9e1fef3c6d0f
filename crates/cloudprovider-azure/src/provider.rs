//! The calls of the port, one function each: acquire a permit, send, read the response.

use std::sync::OnceLock;

use async_trait::async_trait;
use azure_core::http::{Method, Url};
use cloudprovider::{
    Accepted, CloudProvider, ErrorClass, Instance, LaunchLimits, LaunchSpec, OfferedType, OperationStatus,
    ProviderError, Quotas, RequestKind, SpotMarks,
};
use serde::de::DeserializeOwned;

use crate::agent_pool;
use crate::arm::{ArmClient, Call, Response};
use crate::compute::{self, ClusterBody, SKUS_VERSION, SkuBody, USAGES_VERSION, UsageBody};
use crate::config::{AzureConfig, ConnectError, Settings};
use crate::error;
use crate::limiter::SharedLimiter;
use crate::spot;
use crate::wire::{OperationBody, Page, PoolBody, PoolRequest};

/// Most pages of a listing. One with more is a loop: a cluster has at most 100 pools, and a region some thousand sizes.
const PAGES_MAX: usize = 200;

/// The agent pools of one AKS cluster.
#[derive(Debug)]
pub struct AzureProvider {
    arm: ArmClient,
    limiter: SharedLimiter,
    /// Region of the cluster, once it is known.
    region: OnceLock<String>,
}

impl AzureProvider {
    /// Reads the identity's token file; sends nothing to Azure yet.
    ///
    /// # Errors
    /// When the token file cannot be read or no HTTP client can be created.
    pub fn new(config: AzureConfig, settings: Settings) -> Result<Self, ConnectError> {
        let region = OnceLock::new();
        if !config.region.is_empty() {
            region.get_or_init(|| config.region.clone());
        }
        Ok(Self {
            arm: ArmClient::new(config, &settings)?,
            limiter: SharedLimiter::new(settings.limits),
            region,
        })
    }

    /// Limits of AKS that a planner checks before it requests a pool.
    #[must_use]
    pub fn launch_limits(region: &str) -> LaunchLimits {
        agent_pool::limits(region)
    }

    /// Marks of AKS's spot Nodes.
    #[must_use]
    pub fn spot_marks() -> SpotMarks {
        spot::MARKS
    }

    async fn send(&self, kind: RequestKind<'_>, call: Call) -> Result<Response, ProviderError> {
        let permit = self.limiter.acquire(kind)?;
        let result = self.arm.send(&call).await;
        permit.remaining(result.as_ref().ok().and_then(|response| response.remaining));
        permit.report(result.as_ref().err());
        result
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        first: Url,
        mut more: impl FnMut(),
    ) -> Result<Vec<T>, ProviderError> {
        let (mut url, mut entries, mut page) = (first, Vec::new(), 1);
        loop {
            let response = self.arm.send(&Call::new(Method::Get, url.clone())).await?;
            let body: Page<T> = parse(&response)?;
            entries.extend(body.value);
            let Some(next) = body.next_link.filter(|link| !link.is_empty()) else {
                return Ok(entries);
            };
            let next = self.arm.follow(&next)?;
            if next == url || page >= PAGES_MAX {
                return Err(unreadable("the listing repeats pages", &response));
            }
            page += 1;
            if page > 2 {
                more();
            }
            url = next;
        }
    }

    /// Reads a list of the compute provider.
    async fn survey<T: DeserializeOwned>(&self, first: Url) -> Result<Vec<T>, ProviderError> {
        let permit = self.limiter.acquire(RequestKind::Survey)?;
        let result = self.pages(first, || permit.one_more_page()).await;
        permit.report(result.as_ref().err());
        result
    }

    /// Region of the cluster: that of the settings, or else that of the cluster itself.
    async fn region(&self) -> Result<&str, ProviderError> {
        if let Some(region) = self.region.get() {
            return Ok(region);
        }
        let call = Call::new(Method::Get, self.arm.url(&[]));
        let response = self.send(RequestKind::Get, call).await?;
        let region = parse::<ClusterBody>(&response)?.region();
        if region.is_empty() {
            return Err(unreadable("the response names no region", &response));
        }
        Ok(self.region.get_or_init(|| region))
    }

    /// Reads the response to an accepted write.
    fn accepted(&self, response: Response) -> Accepted {
        let operation_url = response.operation_url.filter(|url| {
            let ours = self.arm.follow(url).is_ok();
            if !ours {
                tracing::warn!("ignoring an operation URL that points to another server");
            }
            ours
        });
        Accepted {
            // The status decides that the write is accepted; the body may be anything.
            instance: serde_json::from_slice::<PoolBody>(&response.body)
                .ok()
                .and_then(PoolBody::into_instance),
            operation_url,
            request_id: response.request_id,
        }
    }
}

#[async_trait]
impl CloudProvider for AzureProvider {
    async fn list(&self) -> Result<Vec<Instance>, ProviderError> {
        let permit = self.limiter.acquire(RequestKind::List)?;
        let url = self.arm.url(&["agentPools"]);
        let result = self.pages::<PoolBody>(url, || permit.one_more_page()).await;
        permit.report(result.as_ref().err());
        Ok(result?.into_iter().filter_map(PoolBody::into_instance).collect())
    }

    async fn get(&self, name: &str) -> Result<Instance, ProviderError> {
        let call = Call::new(Method::Get, self.arm.url(&["agentPools", name]));
        let response = self.send(RequestKind::Get, call).await?;
        let body: PoolBody = parse(&response)?;
        body.into_instance()
            .ok_or_else(|| unreadable("the response holds no pool", &response))
    }

    async fn create(&self, spec: &LaunchSpec) -> Result<Accepted, ProviderError> {
        let body = serde_json::to_string(&PoolRequest::new(spec))
            .map_err(|error| ProviderError::new(ErrorClass::Invalid, "Request", error.to_string()))?;
        let call = Call {
            body: Some(body),
            condition: Some(("if-none-match", "*".to_owned())),
            ..Call::new(Method::Put, self.arm.url(&["agentPools", &spec.name]))
        };
        Ok(self.accepted(self.send(RequestKind::Put(&spec.name), call).await?))
    }

    async fn delete(&self, name: &str, version: Option<&str>) -> Result<Accepted, ProviderError> {
        let mut url = self.arm.url(&["agentPools", name]);
        // The planner has drained the Node, or has stopped to wait for it. Otherwise a disruption budget could keep the
        // pool for ever.
        url.query_pairs_mut()
            .append_pair("ignore-pod-disruption-budget", "true");
        let call = Call {
            condition: version.map(|version| ("if-match", version.to_owned())),
            ..Call::new(Method::Delete, url)
        };
        let response = self.send(RequestKind::Delete, call).await?;
        if response.status == 204 {
            let message = format!("agent pool {name} does not exist");
            let error = ProviderError::new(ErrorClass::NotFound, "NotFound", message);
            return Err(error.with_request_id(response.request_id));
        }
        Ok(self.accepted(response))
    }

    async fn abort(&self, name: &str) -> Result<Accepted, ProviderError> {
        let call = Call::new(Method::Post, self.arm.url(&["agentPools", name, "abort"]));
        Ok(self.accepted(self.send(RequestKind::Abort, call).await?))
    }

    /// Fails with class `NotFound` once Azure has dropped the operation, which proves nothing about the pool.
    async fn operation(&self, url: &str) -> Result<OperationStatus, ProviderError> {
        let call = Call::new(Method::Get, self.arm.follow(url)?);
        let response = match self.send(RequestKind::Operation, call).await {
            Ok(response) => response,
            Err(error) => return Err(dropped_operation(error)),
        };
        let body: OperationBody = parse(&response)?;
        let noted = || {
            let error = body.error.as_ref().and_then(error::from_instance)?;
            Some(error.with_request_id(response.request_id.clone()))
        };
        Ok(match body.status.to_ascii_lowercase().as_str() {
            "succeeded" => OperationStatus::Succeeded(noted()),
            "failed" | "canceled" | "cancelled" => {
                let error = error::from_operation(&body.status, body.error.as_ref());
                OperationStatus::Failed(error.with_request_id(response.request_id.clone()))
            }
            // The status of a running operation is free text, and it may carry an error already.
            _ => OperationStatus::Running(body.status.clone(), noted()),
        })
    }

    async fn offered_types(&self) -> Result<Vec<OfferedType>, ProviderError> {
        let region = self.region().await?;
        // The short spelling of a region needs no encoding.
        let query = format!("api-version={SKUS_VERSION}&%24filter=location%20eq%20%27{region}%27");
        let all = self
            .survey::<SkuBody>(self.arm.compute_url(&["skus"], &query))
            .await?;
        Ok(all
            .into_iter()
            .filter_map(|body| body.into_offered(region))
            .collect())
    }

    async fn quotas(&self) -> Result<Quotas, ProviderError> {
        let region = self.region().await?;
        let query = format!("api-version={USAGES_VERSION}");
        let url = self.arm.compute_url(&["locations", region, "usages"], &query);
        Ok(compute::quotas(region, self.survey::<UsageBody>(url).await?))
    }
}

/// Reads a 404 as a missing operation, unless it names the cluster.
fn dropped_operation(error: ProviderError) -> ProviderError {
    if error.class == ErrorClass::Transient && (error.code == "Http404" || error.code.ends_with("NotFound")) {
        return ProviderError {
            class: ErrorClass::NotFound,
            ..error
        };
    }
    error
}

fn parse<T: DeserializeOwned>(response: &Response) -> Result<T, ProviderError> {
    serde_json::from_slice(&response.body).map_err(|error| unreadable(&error.to_string(), response))
}

fn unreadable(message: &str, response: &Response) -> ProviderError {
    ProviderError::new(ErrorClass::Transient, "UnreadableAnswer", message)
        .with_request_id(response.request_id.clone())
}

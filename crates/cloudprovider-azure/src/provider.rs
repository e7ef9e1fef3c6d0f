//! The port's calls, one function each: ask the brakes, send, read the answer.

use async_trait::async_trait;
use azure_core::http::{Method, Url};
use cloudprovider::{
    Accepted, AgentPool, AgentPoolSpec, CloudProvider, ErrorClass, OperationStatus, ProviderError,
};
use serde::de::DeserializeOwned;

use crate::arm::{Answer, ArmClient, Call};
use crate::config::{AzureConfig, ConnectError, Settings};
use crate::error;
use crate::gate::{Ask, Gate};
use crate::wire::{OperationBody, PoolBody, PoolPage, PoolRequest};

/// A listing that has more pages runs in circles: a cluster has at most 100 pools.
const PAGES_MAX: usize = 200;

/// The agent pools of one AKS cluster.
#[derive(Debug)]
pub struct AzureProvider {
    arm: ArmClient,
    gate: Gate,
}

impl AzureProvider {
    /// Reads the identity's token file; asks Azure for nothing yet.
    ///
    /// # Errors
    /// When the token file cannot be read or no HTTP client can be made.
    pub fn new(config: AzureConfig, settings: Settings) -> Result<Self, ConnectError> {
        let arm = ArmClient::new(config, &settings)?;
        Ok(Self {
            arm,
            gate: Gate::new(settings.limits),
        })
    }

    async fn send(&self, ask: Ask<'_>, call: Call) -> Result<Answer, ProviderError> {
        let permit = self.gate.enter(ask)?;
        let result = self.arm.send(&call).await;
        permit.report(result.as_ref().err());
        result
    }

    async fn pages(&self, first: Url, mut more: impl FnMut()) -> Result<Vec<AgentPool>, ProviderError> {
        let (mut url, mut pools, mut page) = (first, Vec::new(), 1);
        loop {
            let answer = self.arm.send(&Call::new(Method::Get, url.clone())).await?;
            let body: PoolPage = parse(&answer)?;
            pools.extend(body.value.into_iter().filter_map(PoolBody::into_pool));
            let Some(next) = body.next_link.filter(|link| !link.is_empty()) else {
                return Ok(pools);
            };
            let next = self.arm.follow(&next)?;
            if next == url || page >= PAGES_MAX {
                return Err(unreadable("the listing of pools runs in circles", &answer));
            }
            page += 1;
            if page > 2 {
                more();
            }
            url = next;
        }
    }

    /// What an accepted write says.
    fn accepted(&self, answer: Answer) -> Accepted {
        let operation_url = answer.operation_url.filter(|url| {
            let ours = self.arm.follow(url).is_ok();
            if !ours {
                tracing::warn!("Azure's operation URL points to another server and is dropped");
            }
            ours
        });
        Accepted {
            // The write is accepted, whatever its body looks like.
            pool: serde_json::from_slice::<PoolBody>(&answer.body)
                .ok()
                .and_then(PoolBody::into_pool),
            operation_url,
            request_id: answer.request_id,
        }
    }
}

#[async_trait]
impl CloudProvider for AzureProvider {
    async fn list(&self) -> Result<Vec<AgentPool>, ProviderError> {
        let permit = self.gate.enter(Ask::List)?;
        let result = self
            .pages(self.arm.url(&["agentPools"]), || permit.one_more_page())
            .await;
        permit.report(result.as_ref().err());
        result
    }

    async fn get(&self, name: &str) -> Result<AgentPool, ProviderError> {
        let call = Call::new(Method::Get, self.arm.url(&["agentPools", name]));
        let answer = self.send(Ask::Get, call).await?;
        let body: PoolBody = parse(&answer)?;
        body.into_pool()
            .ok_or_else(|| unreadable("the answer holds no pool", &answer))
    }

    async fn create(&self, spec: &AgentPoolSpec) -> Result<Accepted, ProviderError> {
        let body = serde_json::to_string(&PoolRequest::new(spec))
            .map_err(|error| error::local(ErrorClass::Invalid, "Request", error.to_string()))?;
        let call = Call {
            body: Some(body),
            condition: Some(("if-none-match", "*".to_owned())),
            ..Call::new(Method::Put, self.arm.url(&["agentPools", &spec.name]))
        };
        Ok(self.accepted(self.send(Ask::Put(&spec.name), call).await?))
    }

    async fn delete(&self, name: &str, etag: Option<&str>) -> Result<Accepted, ProviderError> {
        let call = Call {
            condition: etag.map(|etag| ("if-match", etag.to_owned())),
            ..Call::new(Method::Delete, self.arm.url(&["agentPools", name]))
        };
        let answer = self.send(Ask::Delete, call).await?;
        if answer.status == 204 {
            let message = format!("agent pool {name} is not there");
            let error = error::local(ErrorClass::NotFound, "NotFound", message);
            return Err(ProviderError {
                request_id: answer.request_id,
                ..error
            });
        }
        Ok(self.accepted(answer))
    }

    async fn abort(&self, name: &str) -> Result<Accepted, ProviderError> {
        let call = Call::new(Method::Post, self.arm.url(&["agentPools", name, "abort"]));
        Ok(self.accepted(self.send(Ask::Abort, call).await?))
    }

    /// Class `NotFound` when Azure keeps the operation no longer; that says nothing about the pool.
    async fn operation(&self, url: &str) -> Result<OperationStatus, ProviderError> {
        let call = Call::new(Method::Get, self.arm.follow(url)?);
        let answer = match self.send(Ask::Operation, call).await {
            Ok(answer) => answer,
            Err(error) => return Err(forgotten(error)),
        };
        let body: OperationBody = parse(&answer)?;
        Ok(match body.status.to_ascii_lowercase().as_str() {
            "succeeded" => OperationStatus::Succeeded,
            "failed" | "canceled" | "cancelled" => {
                let error = error::from_operation(&body.status, body.error.as_ref());
                OperationStatus::Failed(ProviderError {
                    request_id: answer.request_id,
                    ..error
                })
            }
            // The words of a running operation are free text, and it may carry an error already.
            _ => OperationStatus::Running(body.status),
        })
    }
}

/// A 404 for an operation is about the operation, unless it names the cluster.
fn forgotten(error: ProviderError) -> ProviderError {
    if error.class == ErrorClass::Transient && (error.code == "Http404" || error.code.ends_with("NotFound")) {
        return ProviderError {
            class: ErrorClass::NotFound,
            ..error
        };
    }
    error
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, ProviderError> {
    serde_json::from_slice(&answer.body).map_err(|error| unreadable(&error.to_string(), answer))
}

fn unreadable(message: &str, answer: &Answer) -> ProviderError {
    let error = error::local(ErrorClass::Transient, "UnreadableAnswer", message.to_owned());
    ProviderError {
        request_id: answer.request_id.clone(),
        ..error
    }
}

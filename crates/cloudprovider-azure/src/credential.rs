//! The workload identity: exchanges the projected service account token for access tokens.
//!
//! It never logs a token. `azure_identity` does the exchange and the caching; this module adds that a refused token
//! can be dropped, which also reads the service account token again.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertionCredentialOptions, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

use crate::config::ConnectError;
use crate::endpoint::Endpoint;

/// The identity, and the token service that knows it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) authority: Endpoint,
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) token_file: PathBuf,
}

/// A credential whose cached access tokens can be dropped.
#[derive(Debug)]
pub(crate) struct RenewableCredential {
    identity: Identity,
    transport: Transport,
    current: RwLock<Arc<WorkloadIdentityCredential>>,
}

impl RenewableCredential {
    /// Reads the token file and prepares the exchange.
    ///
    /// # Errors
    /// When the token file cannot be read or a name is malformed.
    pub(crate) fn new(identity: Identity, transport: Transport) -> Result<Self, ConnectError> {
        let current = exchange(&identity, &transport).map_err(|e| ConnectError::Identity(e.to_string()))?;
        Ok(Self {
            identity,
            transport,
            current: RwLock::new(current),
        })
    }

    /// Drops every cached token. If the token file cannot be read now, the old credential stays: it may still be valid,
    /// and the next request shows whether it is.
    pub(crate) fn renew(&self) {
        match exchange(&self.identity, &self.transport) {
            Ok(fresh) => *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh,
            Err(error) => tracing::warn!(%error, "failed to reload the workload identity"),
        }
    }

    fn current(&self) -> Arc<WorkloadIdentityCredential> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl TokenCredential for RenewableCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.current().get_token(scopes, options).await
    }
}

fn exchange(
    identity: &Identity,
    transport: &Transport,
) -> azure_core::Result<Arc<WorkloadIdentityCredential>> {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = identity.authority.secure().to_string();
    let client_options = ClientOptions {
        transport: Some(transport.clone()),
        // A failed exchange is reported to the planner, which decides when to retry.
        retry: RetryOptions::none(),
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        ..ClientOptions::default()
    };
    WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options },
        client_id: Some(identity.client.clone()),
        tenant_id: Some(identity.tenant.clone()),
        token_file_path: Some(identity.token_file.clone()),
    }))
}

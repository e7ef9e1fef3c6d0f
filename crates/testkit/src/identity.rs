//! ServiceAccounts for our programs, so that tests run under the roles that users install.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;

use crate::TestEnv;

/// No test binary runs for longer.
const LIFETIME_SECONDS: i64 = 12 * 60 * 60;

impl TestEnv {
    /// Writes a kubeconfig of a ServiceAccount and returns its path. A missing account is created. It may do only what
    /// bound roles allow.
    ///
    /// # Errors
    /// When the API server gives no token or the file cannot be written.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        if accounts.get_opt(name).await?.is_none() {
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            };
            let account = ServiceAccount {
                metadata,
                ..ServiceAccount::default()
            };
            accounts.create(&PostParams::default(), &account).await?;
        }
        let token = token(&accounts, name, None, LIFETIME_SECONDS).await?;
        self.cluster()
            .kubeconfig_for(&format!("{namespace}-{name}"), &token)
    }

    /// Returns a token of an existing ServiceAccount for an audience of its own, as a pod mounts one.
    ///
    /// # Errors
    /// When the API server gives no token.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
        seconds: i64,
    ) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        token(&accounts, name, Some(audience), seconds).await
    }
}

async fn token(
    accounts: &Api<ServiceAccount>,
    name: &str,
    audience: Option<&str>,
    seconds: i64,
) -> Result<String> {
    let spec = TokenRequestSpec {
        audiences: audience.map(|audience| vec![audience.to_owned()]),
        expiration_seconds: Some(seconds),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec: Some(spec),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await?;
    answer
        .status
        .and_then(|status| status.token)
        .context("the API server gave no token")
}

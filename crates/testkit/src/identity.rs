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
        let token = token(&accounts, name).await?;
        self.cluster()
            .kubeconfig_for(&format!("{namespace}-{name}"), &token)
    }
}

async fn token(accounts: &Api<ServiceAccount>, name: &str) -> Result<String> {
    let spec = TokenRequestSpec {
        expiration_seconds: Some(LIFETIME_SECONDS),
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

//! Credentials of Azure Container Registry for a workload identity.
//!
//! The cluster gives the pod a token. Entra ID exchanges it for one of its own, and the registry exchanges that for a refresh
//! token. It opens repositories as an identity token does. The cluster's webhook sets the variables.

use std::path::PathBuf;
use std::sync::Arc;

use egress::{Body, Client, Follow, Request, Settings, WebPolicy, read, status_error};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::challenge::Bearer;
use crate::error::{Error, Result};

const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com/";
const SCOPE: &str = "https://containerregistry.azure.net/.default";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Most bytes of a response with a token.
const ANSWER_BYTES: usize = 1 << 20;
/// Domains of the registries of all clouds of Azure.
const DOMAINS: [&str; 3] = [".azurecr.io", ".azurecr.cn", ".azurecr.us"];

/// Reports whether a host is an Azure Container Registry.
pub(super) fn is_registry(host: &str) -> bool {
    DOMAINS.iter().any(|domain| host.ends_with(domain))
}

/// The identity of the pod.
#[derive(Clone, Debug)]
pub(crate) struct WorkloadIdentity {
    token_file: PathBuf,
    client_id: String,
    tenant: String,
    authority: Url,
    client: Client,
    /// Host of the registry, with its port. No other host receives a token of Entra ID.
    registry: String,
}

#[derive(Deserialize)]
struct ExchangedToken {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    refresh_token: String,
}

impl WorkloadIdentity {
    /// Reports whether the pod has an identity.
    pub(super) fn is_given() -> bool {
        std::env::var_os(TOKEN_FILE).is_some()
    }

    /// Reads the variables; `None` without them.
    ///
    /// # Errors
    /// The authority is not a URL, or certificates cannot be read.
    pub(super) fn from_environment(registry: &str, http: &Settings) -> Result<Option<Self>> {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(file), Some(client_id), Some(tenant)) =
            (read(TOKEN_FILE), read("AZURE_CLIENT_ID"), read("AZURE_TENANT_ID"))
        else {
            return Ok(None);
        };
        let text = read("AZURE_AUTHORITY_HOST").unwrap_or_else(|| PUBLIC_AUTHORITY.to_owned());
        let authority = Url::parse(&text).map_err(|error| Error::Usage {
            argument: "$AZURE_AUTHORITY_HOST".to_owned(),
            expected: format!("a URL: {error}"),
        })?;
        // The cluster's webhook names the authority, not the user.
        let host = authority.host_str().unwrap_or_default();
        let policy = WebPolicy {
            allow_http: authority.scheme() == "http",
            allow_private: false,
            allowed_hosts: vec![host.trim_matches(['[', ']']).to_owned()],
        };
        Ok(Some(Self {
            token_file: file.into(),
            client_id,
            tenant,
            client: Client::new(Arc::new(policy), http.clone())?,
            authority,
            registry: registry.to_owned(),
        }))
    }

    /// Exchanges the pod's token for a refresh token of the registry. Its token server is the one of the challenge.
    ///
    /// # Errors
    /// Entra ID or the registry refuses.
    pub(super) async fn refresh_token(&self, registry: &Client, bearer: &Bearer) -> Result<String> {
        let realm = Url::parse(&bearer.realm).map_err(|error| no_url(&error))?;
        if realm.authority() != self.registry {
            return Err(Error::Protocol {
                doing: "exchange a token of Entra ID".to_owned(),
                problem: format!(
                    "the token server of {} must be the registry itself",
                    self.registry
                ),
            });
        }
        let file = &self.token_file;
        let assertion = std::fs::read_to_string(file).map_err(Error::local("read", file))?;
        let path = format!("{}/oauth2/v2.0/token", self.tenant);
        let url = self.authority.join(&path).map_err(|error| no_url(&error))?;
        let fields = [
            ("client_id", self.client_id.as_str()),
            ("scope", SCOPE),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion.trim()),
            ("grant_type", "client_credentials"),
        ];
        let answer = post(&self.client, "get a token from Entra ID", url, &fields).await?;
        let url = realm.join("/oauth2/exchange").map_err(|error| no_url(&error))?;
        let service = bearer.service.as_deref().or(realm.host_str()).unwrap_or_default();
        let fields = [
            ("grant_type", "access_token"),
            ("service", service),
            ("tenant", self.tenant.as_str()),
            ("access_token", answer.access_token.as_str()),
        ];
        let doing = "exchange a token of Entra ID for one of the registry";
        Ok(post(registry, doing, url, &fields).await?.refresh_token)
    }
}

async fn post(client: &Client, doing: &str, url: Url, fields: &[(&str, &str)]) -> Result<ExchangedToken> {
    let mut request = Request::new(doing, Method::POST, url);
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers.insert(CONTENT_TYPE, kind);
    request.body = Some(Body::from(form));
    let response = client.send(&request, None, Follow::None).await?;
    if !response.status().is_success() {
        return Err(status_error(doing, response, words).await.into());
    }
    let body = read(doing, response, ANSWER_BYTES).await?;
    serde_json::from_slice(&body).map_err(|_| Error::Protocol {
        doing: doing.to_owned(),
        problem: "the response holds no token".to_owned(),
    })
}

/// The description of an error of OAuth, or the body itself.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        error_description: String,
    }
    let described = serde_json::from_slice::<Problem>(body).map(|problem| problem.error_description);
    described.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned())
}

fn no_url(error: &url::ParseError) -> Error {
    Error::Protocol {
        doing: "get a token".to_owned(),
        problem: format!("the token server has no URL: {error}"),
    }
}

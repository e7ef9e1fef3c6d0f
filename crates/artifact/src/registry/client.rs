//! Requests to a registry: credentials, redirects, attempts.

use std::path::PathBuf;
use std::sync::Arc;

use egress::{Client, Credentials as Header, Follow, Request, Retry, Settings, WebPolicy};
use oci_spec::distribution::Reference;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::auth::Authorizer;
use super::azure;
use super::azure::WorkloadIdentity;
use super::credentials::{Credential, Credentials};
use super::reference::Target;
use crate::error::{Error, Result};
use crate::progress::say;

/// The settings of a registry client.
#[derive(Clone, Debug)]
pub(crate) struct RegistrySettings {
    /// A directory of Docker config files.
    pub(crate) auth_dir: Option<PathBuf>,
    /// Registries to use without TLS.
    pub(crate) plain_http: Vec<String>,
    /// The bounds of the HTTP client.
    pub(crate) http: Settings,
    /// The attempts at a request.
    pub(crate) retry: Retry,
}

/// One repository of a registry. Clones work concurrently, each with the credentials that were found so far.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    client: Client,
    base: Url,
    auth: Authorizer,
    auth_dir: Option<PathBuf>,
    pub(super) target: Target,
    pub(super) retry: Retry,
    /// The registry refuses uploads in several requests.
    pub(super) refuses_chunks: bool,
}

/// Sets a header.
pub(super) fn with_header(mut request: Request, name: HeaderName, value: &str) -> Request {
    // All values are ours: ranges, lengths, media types.
    if let Ok(value) = HeaderValue::from_str(value) {
        request.headers.insert(name, value);
    }
    request
}

impl Registry {
    /// Prepares for one repository. `actions` is `pull` or `pull,push`, `others` are further repositories to read.
    ///
    /// # Errors
    /// Credentials or certificates cannot be read.
    pub(crate) async fn open(
        target: Target,
        settings: RegistrySettings,
        actions: &str,
        others: &[&str],
    ) -> Result<Self> {
        let repository = target.reference.repository();
        let own = format!("repository:{repository}:{actions}");
        let others = others.iter().map(|other| format!("repository:{other}:pull"));
        let credentials = credentials(&target, settings.auth_dir.as_ref())?;
        let identity = WorkloadIdentity::from_environment(&target.host, &settings.http)?;
        let auth = Authorizer::new(
            credentials,
            std::iter::once(own).chain(others).collect(),
            identity,
        );
        let plain = settings.plain_http.contains(&target.host);
        // Registries of the cluster have private addresses; the metadata services stay out of reach.
        let policy = |plain: bool| {
            Arc::new(WebPolicy {
                allow_http: plain,
                allow_private: true,
                allowed_hosts: Vec::new(),
            })
        };
        let mut client = Client::new(policy(plain), settings.http)?;
        let url = |scheme: &str, path: &str| {
            Url::parse(&format!("{scheme}://{}/v2/{path}", target.host)).map_err(|error| Error::Usage {
                argument: format!("the host of {}", target.reference),
                expected: format!("a host: {error}"),
            })
        };
        let mut scheme = if plain { "http" } else { "https" };
        if !plain && target.is_loopback() && !client.serves_tls(&url("https", "")?).await {
            say(&format!(
                "{} is on this machine and has no TLS: plain http is used",
                target.host
            ));
            scheme = "http";
            client = client.with_policy(policy(true))?;
        }
        let base = url(scheme, &format!("{repository}/"))?;
        client.policy().check(&base).map_err(egress::Error::from)?;
        Ok(Self {
            client,
            base,
            auth,
            auth_dir: settings.auth_dir,
            target,
            retry: settings.retry,
            refuses_chunks: false,
        })
    }

    /// The reference that the repository was opened for.
    pub(crate) fn reference(&self) -> &Reference {
        &self.target.reference
    }

    /// The tag or digest of the reference.
    pub(crate) fn version(&self) -> &str {
        self.target.version()
    }

    /// Starts over with the credentials: those that were refused for one kind of request may do for another.
    pub(super) fn restart_credentials(&mut self) {
        self.auth.restart();
    }

    /// The URL of something in the repository.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(|error| Error::Usage {
            argument: path.to_owned(),
            expected: format!("a path of a registry: {error}"),
        })
    }

    /// Sends a request, with all attempts. Returns any response but a refusal of the credentials and a transient failure.
    pub(super) async fn execute(&mut self, request: &Request) -> Result<Response> {
        let mut attempts = self.retry.start();
        loop {
            match self.once(request).await {
                Err(error) => attempts.after(error).await?,
                done => return done,
            }
        }
    }

    /// Sends a request as [`Self::execute`] does, with one attempt.
    pub(super) async fn once(&mut self, request: &Request) -> Result<Response> {
        loop {
            let response = self.send(request).await?;
            let code = response.status();
            let again = match code {
                StatusCode::UNAUTHORIZED => {
                    self.auth.answer(&self.client, response.headers()).await? || self.renew_credentials()?
                }
                // Some registries answer 404 for what the credentials may not see.
                StatusCode::NOT_FOUND if is_secondary(request) => false,
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => self.auth.next(&self.client).await?,
                StatusCode::TOO_MANY_REQUESTS => {
                    let root = self.url("/v2/")?;
                    self.auth.identify(&self.client, &root).await?
                }
                _ => false,
            };
            if again {
                continue;
            }
            return match code.as_u16() {
                401 | 403 => Err(self.denied(request, response).await),
                408 | 425 | 429 | 500..=599 => Err(refusal(&request.doing, response).await),
                _ => {
                    self.auth.accepted();
                    Ok(response)
                }
            };
        }
    }

    /// Reports whether there are credentials for the repository besides anonymous access.
    pub(crate) fn has_credentials(&self) -> bool {
        self.auth.has_credentials()
    }

    /// Sends a request once, with the credentials that were found so far. Returns any response.
    pub(super) async fn send(&self, request: &Request) -> Result<Response> {
        let header = self.auth.header().map(|authorization| Header {
            origin: self.base.origin(),
            authorization,
        });
        Ok(self.client.send(request, header.as_ref(), Follow::All).await?)
    }

    /// Reads the credentials again, as a Secret may have been replaced during a long transfer. Returns true if they changed.
    fn renew_credentials(&mut self) -> Result<bool> {
        let found = credentials(&self.target, self.auth_dir.as_ref())?;
        Ok(self.auth.renew(found))
    }

    async fn denied(&self, request: &Request, response: Response) -> Error {
        let remedy = if self.auth.has_credentials() {
            "the credentials for this registry are refused or lack the right"
        } else {
            "there are no credentials for this registry: name a Secret of type kubernetes.io/dockerconfigjson that has some"
        };
        Error::Denied {
            refusal: status_error(&request.doing, response).await,
            remedy,
        }
    }
}

/// Reads the credentials for the repository.
fn credentials(target: &Target, auth_dir: Option<&PathBuf>) -> Result<Vec<Credential>> {
    let all = match auth_dir {
        Some(directory) => Credentials::load(directory)?,
        None => Credentials::default(),
    };
    let reference = &target.reference;
    for helper in all.unknown_helpers(reference.registry(), reference.repository()) {
        say(&format!(
            "the credential helper {helper:?} is not part of this program, which has acr-env only"
        ));
    }
    let mut found = all.for_repository(reference.registry(), reference.repository());
    if WorkloadIdentity::is_given()
        && (azure::is_registry(reference.registry())
            || all.names_azure(reference.registry(), reference.repository()))
    {
        found.push(Credential::Azure);
    }
    Ok(found)
}

/// The target of a `Location` header.
pub(super) fn location(from: &Url, headers: &HeaderMap) -> Option<Url> {
    from.join(headers.get(LOCATION)?.to_str().ok()?).ok()
}

/// The error of a response without success.
pub(super) async fn refusal(doing: &str, response: Response) -> Error {
    status_error(doing, response).await.into()
}

async fn status_error(doing: &str, response: Response) -> egress::Error {
    egress::status_error(doing, response, words).await
}

/// The messages of a registry's error, or the body itself.
fn words(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<OneError>,
    }
    #[derive(serde::Deserialize)]
    struct OneError {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    match serde_json::from_slice::<Errors>(body) {
        Ok(Errors { errors }) => {
            let lines = errors.iter().map(|one| format!("{}: {}", one.code, one.message));
            lines.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Reports whether a request follows another one of the same transfer, whose credentials were the right ones.
fn is_secondary(request: &Request) -> bool {
    request.method == Method::HEAD || request.url.path().contains("/blobs/") && request.method != Method::POST
}

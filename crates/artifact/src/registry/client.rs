//! Requests to a registry: credentials, redirects, attempts.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use url::Url;

use super::Credentials;
use super::auth::Authorizer;
use super::reference::Target;
use crate::args::{Access, Common};
use crate::error::{Error, Result};
use crate::guard::{Guard, shown};
use crate::http;
use crate::progress::say;
use crate::retry::Retry;

const REDIRECTS: usize = 5;
/// Of an error's body.
const SAID_BYTES: usize = 8 << 10;

/// One repository of a registry. Clones work side by side, each with the credentials that were found so far.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    client: Client,
    guard: Arc<Guard>,
    base: Url,
    auth: Authorizer,
    pub(super) target: Target,
    pub(super) retry: Retry,
}

/// A request that can be sent more than once.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// For messages: a verb phrase.
    pub(super) doing: String,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

impl Call {
    pub(super) fn new(doing: &str, method: Method, url: Url) -> Self {
        Self {
            doing: doing.to_owned(),
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    pub(super) fn header(mut self, name: reqwest::header::HeaderName, value: &str) -> Self {
        // All values are ours: ranges, media types.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }
}

impl Registry {
    /// Prepares for one repository; `actions` is `pull` or `pull,push`, `others` are repositories to read too.
    ///
    /// # Errors
    /// When credentials or certificates cannot be read.
    pub(crate) async fn open(
        target: Target,
        access: &Access,
        common: &Common,
        actions: &str,
        others: &[&str],
    ) -> Result<Self> {
        let credentials = match &access.auth_dir {
            Some(directory) => Credentials::load(directory)?,
            None => Credentials::default(),
        };
        let repository = target.reference.repository();
        let fitting = credentials.for_repository(target.reference.registry(), repository);
        let own = format!("repository:{repository}:{actions}");
        let others = others.iter().map(|other| format!("repository:{other}:pull"));
        let auth = Authorizer::new(fitting, std::iter::once(own).chain(others).collect());
        let plain = access.plain_http.contains(&target.host);
        // Registries of the cluster have private addresses; the metadata services stay out of reach.
        let guard = |plain: bool| {
            Arc::new(Guard {
                allow_http: plain,
                allow_private: true,
                allowed_hosts: Vec::new(),
            })
        };
        let client = http::client(&guard(plain), common.ca_file.as_deref(), http::Use::Registry)?;
        let plain = plain || (target.is_loopback() && !knows_tls(&client, &target).await);
        let scheme = if plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{}/v2/{repository}/", target.host))
            .map_err(|error| Error::Usage(format!("{} is no host: {error}", target.host)))?;
        let guard = guard(plain);
        guard.check(&base)?;
        Ok(Self {
            client,
            guard,
            base,
            auth,
            target,
            retry: Retry {
                attempts: common.attempts,
                first: common.retry_delay,
            },
        })
    }

    /// The tag or digest that is worked on.
    pub(crate) fn version(&self) -> &str {
        self.target.version()
    }

    /// For a request of another kind: credentials that were refused for the last one may do for it.
    pub(super) fn begin_credentials_anew(&mut self) {
        self.auth.begin_anew();
    }

    /// The URL of something in the repository.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        let bad = |error| Error::Usage(format!("{path} is no path of a registry: {error}"));
        self.base.join(path).map_err(bad)
    }

    /// Sends until there is an answer that is worth a look: any but a refusal of the credentials and a passing
    /// failure.
    pub(super) async fn execute(&mut self, call: &Call) -> Result<Response> {
        let mut attempts = self.retry.begin();
        loop {
            match self.once(call).await {
                Err(error) => attempts.after(error).await?,
                answer => return answer,
            }
        }
    }

    /// As `execute`, but a passing failure is given back at once.
    pub(super) async fn once(&mut self, call: &Call) -> Result<Response> {
        loop {
            let response = self.send(call).await?;
            let code = response.status();
            let again = match code {
                StatusCode::UNAUTHORIZED => {
                    self.auth
                        .answer(&self.client, &self.guard, response.headers())
                        .await?
                }
                // Some registries deny the existence of what one may not see.
                StatusCode::NOT_FOUND if is_secondary(call) => false,
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                    self.auth.next(&self.client, &self.guard).await?
                }
                _ => false,
            };
            if again {
                continue;
            }
            return match code.as_u16() {
                401 | 403 => Err(self.denied(call, response).await),
                408 | 425 | 429 | 500..=599 => Err(refusal(&call.doing, response).await),
                _ => {
                    self.auth.accepted();
                    Ok(response)
                }
            };
        }
    }

    /// Sends, and follows redirects of reading requests.
    async fn send(&self, call: &Call) -> Result<Response> {
        let mut at = call.url.clone();
        for _ in 0..=REDIRECTS {
            self.guard.check(&at)?;
            let mut request = self
                .client
                .request(call.method.clone(), at.clone())
                .headers(call.headers.clone());
            // Whoever else is sent to gets no credentials of ours.
            if at.origin() == self.base.origin()
                && let Some(header) = self.auth.header()
            {
                request = request.header(AUTHORIZATION, header);
            }
            if let Some(body) = &call.body {
                request = request.body(body.clone());
            }
            let response = request
                .send()
                .await
                .map_err(|error| http::failure(&call.doing, &error))?;
            let reads = matches!(call.method, Method::GET | Method::HEAD);
            if !(reads && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)) {
                return Ok(response);
            }
            let next = location(&at, response.headers());
            at = next.ok_or_else(|| {
                Error::Refused(format!(
                    "cannot {}: {} redirects to nothing sensible",
                    call.doing,
                    shown(&at)
                ))
            })?;
        }
        Err(Error::Refused(format!(
            "cannot {}: more than {REDIRECTS} redirects",
            call.doing
        )))
    }

    async fn denied(&self, call: &Call, response: Response) -> Error {
        let remedy = if self.auth.has_credentials() {
            "the credentials for this registry are refused or lack the right"
        } else {
            "there are no credentials for this registry: name a Secret of type kubernetes.io/dockerconfigjson that has some"
        };
        let said = refusal(&call.doing, response).await;
        Error::Unauthorized(format!("{said}; {remedy}"))
    }
}

/// Where an answer points to.
pub(super) fn location(from: &Url, headers: &HeaderMap) -> Option<Url> {
    from.join(headers.get(LOCATION)?.to_str().ok()?).ok()
}

/// An answer that is no success, as an error.
pub(super) async fn refusal(doing: &str, response: Response) -> Error {
    #[derive(serde::Deserialize)]
    struct Said {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let (code, headers) = (response.status(), response.headers().clone());
    let body = http::body(doing, response, SAID_BYTES).await.unwrap_or_default();
    let text = match serde_json::from_slice::<Said>(&body) {
        Ok(said) => {
            let lines = said
                .errors
                .iter()
                .map(|one| format!("{}: {}", one.code, one.message));
            lines.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(&body).into_owned(),
    };
    http::status(doing, code, &headers, &text)
}

/// Once a manifest was read or an upload begun, the credentials are the right ones.
fn is_secondary(call: &Call) -> bool {
    call.method == Method::HEAD || call.url.path().contains("/blobs/") && call.method != Method::POST
}

/// Asked of registries on this machine only, which often have no TLS. A certificate that is not trusted is TLS.
async fn knows_tls(client: &Client, target: &Target) -> bool {
    let answer = client.get(format!("https://{}/v2/", target.host)).send().await;
    let knows = match &answer {
        Ok(_) => true,
        Err(error) => !error.is_connect() || http::is_untrusted(error),
    };
    if !knows {
        say(&format!(
            "{} is on this machine and knows no TLS: plain http is used",
            target.host
        ));
    }
    knows
}

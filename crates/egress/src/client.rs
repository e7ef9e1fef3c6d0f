//! The HTTP client: resolves, checks and connects; follows redirects, each of them checked.

mod body;
mod proxies;
mod resolver;
mod roots;

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response};
use url::{Origin, Url};

use crate::error::{Error, Result};
use crate::policy::{Policy, Refusal, without_secrets};
use proxies::Proxies;
use resolver::Resolver;

pub use body::Body;
pub use proxies::ProxySettings;

/// Bytes of the body of an error that are read.
const WORDS_BYTES: usize = 8 << 10;
/// Characters of the server's words that are shown.
const WORDS_SHOWN: usize = 300;

/// The bounds of a client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the program.
    pub user_agent: &'static str,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Longest silence of the server.
    pub read_timeout: Duration,
    /// Most redirects of one request.
    pub redirects: usize,
    /// Proxies. A proxy resolves names itself, so a name is checked here only if it has an address here.
    pub proxy: ProxySettings,
    /// PEM file of further authorities. It is read again when it changes.
    pub ca_file: Option<PathBuf>,
}

/// A client that reaches only what its policy permits. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    policy: Arc<dyn Policy>,
    settings: Settings,
    proxies: Proxies,
    /// The client in use, and the contents of the file of authorities that it was made with.
    current: Arc<Mutex<(Option<Vec<u8>>, reqwest::Client)>>,
}

/// A header for one origin. Redirects that leave it do not take the header along.
#[derive(Clone)]
pub struct Credentials {
    /// The only origin that receives the header.
    pub origin: Origin,
    /// The value of `Authorization`.
    pub authorization: HeaderValue,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// A request that can be sent more than once.
#[derive(Clone, Debug)]
pub struct Request {
    /// A verb phrase for messages.
    pub doing: String,
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// Headers without credentials.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<Body>,
}

impl Request {
    /// Creates a request without headers and body.
    #[must_use]
    pub fn new(doing: &str, method: Method, url: Url) -> Self {
        Self {
            doing: doing.to_owned(),
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// Creates a `GET` whose message names the URL.
    #[must_use]
    pub fn get(url: &Url) -> Self {
        Self::new(
            &format!("fetch {}", without_secrets(url)),
            Method::GET,
            url.clone(),
        )
    }

    /// Creates a `HEAD` whose message names the URL.
    #[must_use]
    pub fn head(url: &Url) -> Self {
        Self {
            method: Method::HEAD,
            ..Self::get(url)
        }
    }
}

/// The redirects to follow. Only those of `GET` and `HEAD` are followed.
#[derive(Clone, Copy)]
pub enum Follow<'a> {
    /// No redirects.
    None,
    /// All redirects.
    All,
    /// Redirects within the origin of the request, unless the redirect itself is the wanted response.
    WithinOrigin(&'a (dyn Fn(&Response) -> bool + Sync)),
}

impl fmt::Debug for Follow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::All => "All",
            Self::WithinOrigin(_) => "WithinOrigin",
        })
    }
}

impl Client {
    /// Creates a client.
    ///
    /// # Errors
    /// The file of authorities or a proxy cannot be used.
    pub fn new(policy: Arc<dyn Policy>, settings: Settings) -> Result<Self> {
        let pem = roots::read(settings.ca_file.as_deref())?;
        let proxies = Proxies::new(&settings.proxy);
        let client = build(&policy, &proxies, &settings, pem.as_deref())?;
        Ok(Self {
            policy,
            settings,
            proxies,
            current: Arc::new(Mutex::new((pem, client))),
        })
    }

    /// Replaces the policy. The connections are not shared any more.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn with_policy(&self, policy: Arc<dyn Policy>) -> Result<Self> {
        Self::new(policy, self.settings.clone())
    }

    /// The rules of this client.
    #[must_use]
    pub fn policy(&self) -> &dyn Policy {
        self.policy.as_ref()
    }

    /// Sends a request and returns the first response that is not a redirect to follow, whatever its status.
    ///
    /// # Errors
    /// The policy forbids the URL or a redirect, or the server cannot be reached.
    pub async fn send(
        &self,
        request: &Request,
        credentials: Option<&Credentials>,
        follow: Follow<'_>,
    ) -> Result<Response> {
        let doing = &request.doing;
        let client = self.http();
        let mut at = request.url.clone();
        for _ in 0..=self.settings.redirects {
            self.policy.check(&at)?;
            self.proxies.check(self.policy.as_ref(), &at).await?;
            let mut next = client
                .request(request.method.clone(), at.clone())
                .headers(request.headers.clone());
            let own = |credentials: &&Credentials| credentials.origin == at.origin();
            if let Some(credentials) = credentials.filter(own) {
                next = next.header(AUTHORIZATION, credentials.authorization.clone());
            }
            if let Some(body) = &request.body {
                next = next.body(body.to_http());
            }
            let response = next.send().await.map_err(|error| failure(doing, error))?;
            let reads = matches!(request.method, Method::GET | Method::HEAD);
            if !reads || matches!(follow, Follow::None) || !is_redirect(&response) {
                return Ok(response);
            }
            let target = target(&at, &response).ok_or_else(|| Error::BadRedirect {
                doing: doing.clone(),
                from: without_secrets(&at),
            })?;
            match follow {
                Follow::WithinOrigin(is_wanted)
                    if target.origin() != request.url.origin() || is_wanted(&response) =>
                {
                    return Ok(response);
                }
                Follow::None | Follow::All | Follow::WithinOrigin(_) => at = target,
            }
        }
        Err(Error::TooManyRedirects {
            doing: doing.clone(),
            limit: self.settings.redirects,
        })
    }

    /// Reports whether a host serves TLS. A certificate that is not trusted counts.
    pub async fn serves_tls(&self, url: &Url) -> bool {
        match self.http().get(url.clone()).send().await {
            Ok(_) => true,
            Err(error) => !error.is_connect() || is_untrusted(&error),
        }
    }

    /// The client that trusts the authorities that the file holds now.
    fn http(&self) -> reqwest::Client {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Files of authorities are small and requests rare, so that reading costs less than a task that follows the file.
        match roots::read(self.settings.ca_file.as_deref()) {
            Ok(pem) if pem == current.0 => {}
            Ok(pem) => match build(&self.policy, &self.proxies, &self.settings, pem.as_deref()) {
                Ok(client) => *current = (pem, client),
                Err(error) => {
                    tracing::error!(%error, "failed to use changed certificates, keeping the previous ones");
                    current.0 = pem;
                }
            },
            Err(error) => tracing::warn!(%error, "failed to read certificates, keeping the previous ones"),
        }
        current.1.clone()
    }
}

fn build(
    policy: &Arc<dyn Policy>,
    proxies: &Proxies,
    settings: &Settings,
    pem: Option<&[u8]>,
) -> Result<reqwest::Client> {
    // Fails only if a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Resolver {
            policy: Arc::clone(policy),
            proxies: proxies.clone(),
        })
        .tls_certs_only(roots::all(settings.ca_file.as_deref(), pem)?)
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .user_agent(settings.user_agent)
        .referer(false)
        // Those of the environment are not used beside those of the settings.
        .no_proxy();
    for proxy in settings.proxy.for_client()? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(Error::Setup)
}

fn is_redirect(response: &Response) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn target(from: &Url, response: &Response) -> Option<Url> {
    from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}

/// The meaning of a failed request or of a body that broke off.
fn failure(doing: &str, error: reqwest::Error) -> Error {
    let doing = doing.to_owned();
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return Error::Refused(refusal.clone());
        }
        source = inner.source();
    }
    if error.is_timeout() {
        return Error::TimedOut { doing };
    }
    // URLs may hold secrets.
    let source = error.without_url();
    Error::Connection { doing, source }
}

/// Reports whether a server has TLS and a certificate that is not trusted.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // `io::Error::source` skips the error that it holds.
    let held = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    held.is_some_and(|held| is_untrusted(held)) || error.source().is_some_and(is_untrusted)
}

/// Reads the next piece of a body.
///
/// # Errors
/// The connection broke.
pub async fn chunk(doing: &str, response: &mut Response) -> Result<Option<Bytes>> {
    response.chunk().await.map_err(|error| failure(doing, error))
}

/// Reads the body of a response, at most `limit` bytes.
///
/// # Errors
/// The body is longer or breaks off.
pub async fn read(doing: &str, mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let too_large = || Error::TooLarge {
        doing: doing.to_owned(),
        limit: limit as u64,
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(part) = chunk(doing, &mut response).await? {
        if body.len() + part.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The error of a response without success. `words` turns its body into a text.
pub async fn status_error(doing: &str, response: Response, words: impl FnOnce(&[u8]) -> String) -> Error {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read(doing, response, WORDS_BYTES).await.unwrap_or_default();
    Error::Status {
        doing: doing.to_owned(),
        status,
        words: plain(&words(&body)),
        retry_after: retry_after(&headers),
    }
}

/// The server's own words, if they are short and not HTML.
fn plain(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.starts_with('<') {
        return String::new();
    }
    words.chars().take(WORDS_SHOWN).collect()
}

/// `Retry-After`: seconds, or a date, which is in the past if it is due.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        let due = httpdate::parse_http_date(text).ok()?;
        Some(due.duration_since(SystemTime::now()).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests;

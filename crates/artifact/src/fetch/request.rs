//! One request of a download: redirects followed by hand, each target checked.

use reqwest::header::{ACCEPT_ENCODING, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE};
use reqwest::{Client, Method, Response};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::{Origin, Url};

use crate::error::{Error, Result};
use crate::guard::{Guard, shown};
use crate::http;

/// As many as browsers follow, roughly.
const REDIRECTS: usize = 10;

/// By which model hubs tell the size of a file that they keep elsewhere.
const LINKED_SIZE: &str = "x-linked-size";

/// Sends requests, so many at a time.
#[derive(Debug)]
pub(crate) struct Requester {
    pub(crate) client: Client,
    pub(crate) guard: std::sync::Arc<Guard>,
    pub(crate) permits: Semaphore,
    pub(crate) credentials: Option<Credentials>,
}

/// A bearer token for one server. Redirects that leave it do not take the token along.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) origin: Origin,
    pub(crate) token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Which bytes are asked for, and of which version of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) range: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
}

impl Requester {
    /// Waits until a further request may be under way.
    ///
    /// # Errors
    /// Never: the permits are not taken back.
    pub(crate) async fn permit(&self) -> Result<SemaphorePermit<'_>> {
        let closed = |_| Error::unavailable("the program is ending");
        self.permits.acquire().await.map_err(closed)
    }

    /// Sends the request and gives the first answer that is no redirect.
    ///
    /// # Errors
    /// When the other side cannot be reached or may not be.
    pub(crate) async fn get(&self, url: &Url, wanted: Wanted<'_>) -> Result<Response> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            self.guard.check(&at)?;
            let response = self.once(Method::GET, &at, wanted).await?;
            let Some(next) = redirect(&at, &response)? else {
                return Ok(response);
            };
            at = next;
        }
        Err(Error::Refused(format!(
            "{} leads through more than {REDIRECTS} redirects",
            shown(url)
        )))
    }

    /// Asks for the headers of a file alone, and follows redirects within the server only: where it keeps a file elsewhere, what
    /// it says about it on the way there is the answer.
    ///
    /// # Errors
    /// As [`Requester::get`].
    pub(crate) async fn head(&self, url: &Url) -> Result<Response> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            self.guard.check(&at)?;
            let response = self.once(Method::HEAD, &at, Wanted::default()).await?;
            match redirect(&at, &response)? {
                Some(next) if next.origin() == url.origin() && !is_told(&response) => at = next,
                _ => return Ok(response),
            }
        }
        Err(Error::Refused(format!(
            "{} leads through more than {REDIRECTS} redirects",
            shown(url)
        )))
    }

    async fn once(&self, method: Method, url: &Url, wanted: Wanted<'_>) -> Result<Response> {
        // Ranges and checksums are of the file itself, not of a compressed form of it.
        let mut request = self
            .client
            .request(method, url.clone())
            .header(ACCEPT_ENCODING, "identity");
        let own = |credentials: &&Credentials| credentials.origin == url.origin();
        if let Some(credentials) = self.credentials.as_ref().filter(own) {
            request = request.bearer_auth(&credentials.token);
        }
        if let Some(range) = wanted.range {
            request = request.header(RANGE, range);
        }
        if let Some(version) = wanted.version {
            request = request.header(IF_RANGE, version);
        }
        let sent = request.send().await;
        sent.map_err(|error| http::failure(&format!("fetch {}", shown(url)), &error))
    }
}

/// The redirect itself says what the file is.
fn is_told(response: &Response) -> bool {
    response.headers().contains_key(LINKED_SIZE)
}

/// Where the answer sends us, if it does.
fn redirect(from: &Url, response: &Response) -> Result<Option<Url>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let target = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let bad = || Error::Refused(format!("{} redirects to nothing sensible", shown(from)));
    target
        .and_then(|target| from.join(target).ok())
        .map(Some)
        .ok_or_else(bad)
}

/// The mark by which the server knows this version of the file again; weak ones are not good enough for parts.
pub(crate) fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok())
    };
    let strong = text(ETAG).filter(|tag| !tag.starts_with("W/") && tag.starts_with('"'));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

//! Requests to the hub, with limits on everything: where to, how long, how much, how many redirects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::access::{Access, Refused};
use super::problem::Problem;

const CONNECT: Duration = Duration::from_secs(5);
/// Of one request, its redirects and its body.
const REQUEST: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;
/// The size of a file that the hub keeps elsewhere, told before the redirect.
const LINKED_SIZE: &str = "x-linked-size";
/// Longest time that a hub is believed to want to be left alone.
const MAX_RETRY_AFTER: u64 = 300;

/// Asks the hub.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    access: Arc<Access>,
    token_file: Option<PathBuf>,
}

impl Http {
    pub(crate) fn new(
        access: Arc<Access>,
        token_file: Option<PathBuf>,
        authorities: Vec<reqwest::Certificate>,
    ) -> Result<Self, reqwest::Error> {
        let guard = Arc::clone(&access);
        let redirects = Policy::custom(move |attempt| {
            if attempt.previous().len() > MAX_REDIRECTS {
                return attempt.error("too many redirects");
            }
            match guard.check(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(refused) => attempt.error(refused),
            }
        });
        let client = Client::builder()
            .user_agent(concat!("kaito-preset-registry/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .redirect(redirects)
            .dns_resolver(Arc::new(Guarded(Arc::clone(&access))))
            .tls_certs_merge(authorities)
            // A proxy would connect where we cannot look.
            .no_proxy()
            .referer(false)
            .build()?;
        Ok(Self {
            client,
            access,
            token_file,
        })
    }

    /// The contents of what lies below the endpoint; `None` when it does not exist.
    pub(crate) async fn get(&self, path: &[&str], limit: usize) -> Result<Option<Vec<u8>>, Problem> {
        let response = self.send(Method::GET, path, HeaderMap::new()).await?;
        match response {
            Some(response) => read(response, path, limit).await.map(Some),
            None => Ok(None),
        }
    }

    /// The size of a file in bytes; `None` when it does not exist.
    pub(crate) async fn size(&self, path: &[&str]) -> Result<Option<u64>, Problem> {
        let Some(head) = self.send(Method::HEAD, path, HeaderMap::new()).await? else {
            return Ok(None);
        };
        let stated = [LINKED_SIZE, CONTENT_LENGTH.as_str()]
            .iter()
            .find_map(|name| number(head.headers(), name));
        if let Some(size) = stated {
            return Ok(Some(size));
        }
        // A server that compresses or chunks tells the size only with a part of the file.
        let range = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-0"))]);
        let Some(part) = self.send(Method::GET, path, range).await? else {
            return Ok(None);
        };
        total(part.headers())
            .map(Some)
            .ok_or_else(|| Problem::Unavailable(format!("it does not tell the size of {}", path.join("/"))))
    }

    /// The answer if there is one; `None` for 404.
    async fn send(
        &self,
        method: Method,
        path: &[&str],
        mut headers: HeaderMap,
    ) -> Result<Option<Response>, Problem> {
        let url = self.access.url(path);
        self.access.check(&url)?;
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut request = self.client.request(method, url.clone()).headers(headers);
        let token = self.token().await?;
        if let Some(token) = &token {
            // Marked as sensitive, and left out when a redirect leads to another host.
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| problem(error, &url))?;
        match response.status() {
            status if status.is_success() => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Problem::Denied {
                code: response.status().as_u16(),
                with_token: token.is_some(),
            }),
            StatusCode::TOO_MANY_REQUESTS => Err(Problem::Limited {
                retry_after: number(response.headers(), RETRY_AFTER.as_str())
                    .map(|seconds| Duration::from_secs(seconds.min(MAX_RETRY_AFTER))),
            }),
            status => Err(Problem::Unavailable(format!(
                "{} was answered with {status}",
                path.join("/")
            ))),
        }
    }

    /// Read every time: a mounted Secret is replaced under the program.
    async fn token(&self) -> Result<Option<String>, Problem> {
        let Some(file) = &self.token_file else {
            return Ok(None);
        };
        let text = tokio::fs::read_to_string(file)
            .await
            .map_err(|error| Problem::Token(format!("{}: {error}", file.display())))?;
        let token = text.trim();
        if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(Problem::Token(format!("{} holds no token", file.display())));
        }
        Ok((!token.is_empty()).then(|| token.to_owned()))
    }
}

async fn read(mut response: Response, path: &[&str], limit: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::TooLarge {
        what: path.join("/"),
        limit,
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Err(too_large());
    }
    let url = response.url().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| problem(error, &url))? {
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Of `Content-Range: bytes 0-0/1234`.
fn total(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.trim().parse().ok()
}

fn problem(error: reqwest::Error, url: &Url) -> Problem {
    if let Some(refused) = cause::<Refused>(&error) {
        return Problem::Refused(refused.clone());
    }
    let what = if error.is_timeout() {
        "it does not answer in time".to_owned()
    } else if error.is_connect() {
        format!("no connection ({})", innermost(&error))
    } else {
        innermost(&error)
    };
    // Without the query, in which hosts that files are redirected to expect signatures.
    let (host, path) = (url.host_str(), url.path());
    tracing::debug!(host, path, error = %error.without_url(), "the hub was not read");
    Problem::Unavailable(what)
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn cause<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

/// Resolves names to those of their addresses that may be connected to. What is checked is what is used, so a name
/// cannot change its mind in between.
struct Guarded(Arc<Access>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let access = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| access.allows(&host, address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(Box::new(Refused::Private(host)) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

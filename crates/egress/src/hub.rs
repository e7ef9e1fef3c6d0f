//! Requests to one server that the operator named, such as a model hub: small files, and facts about large ones.
//!
//! Only the server itself sees the token.

use reqwest::Response;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use url::Url;

use crate::client::{Client, Credentials, Follow, Request, read, status_error};
use crate::download::{DownloadSettings, Downloader};
use crate::error::Result;
use crate::retry::Retry;
use crate::token::BearerToken;

/// The header with the size of a file that a hub keeps elsewhere. It comes with the redirect.
const LINKED_SIZE: &str = "x-linked-size";

/// A server, with its token and its attempts.
#[derive(Clone, Debug)]
pub struct Hub {
    client: Client,
    endpoint: Url,
    token: Option<BearerToken>,
    retry: Retry,
}

impl Hub {
    /// Creates a hub and asks it nothing.
    ///
    /// # Errors
    /// The policy of the client forbids the endpoint.
    pub fn new(client: Client, endpoint: Url, token: Option<BearerToken>, retry: Retry) -> Result<Self> {
        client.policy().check(&endpoint)?;
        Ok(Self {
            client,
            endpoint,
            token,
            retry,
        })
    }

    /// The URL of a path below the endpoint.
    #[must_use]
    pub fn url(&self, path: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        // Fails only for URLs without a host, which the policy refuses later.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Reports whether requests carry a token.
    pub async fn has_token(&self) -> bool {
        matches!(self.credentials().await, Ok(Some(_)))
    }

    /// Reads a small file or response, at most `limit` bytes.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn read(&self, url: &Url, limit: usize) -> Result<Vec<u8>> {
        let request = Request::get(url);
        self.retried(|| self.read_once(&request, limit)).await
    }

    /// The headers of a file, without the file. A redirect that states the size, or leaves the server, is not followed: the
    /// hub describes the file there.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn describe(&self, url: &Url) -> Result<HeaderMap> {
        let request = Request::head(url);
        self.retried(|| self.describe_once(&request)).await
    }

    /// The size of a file in bytes; `None` if the server does not state it.
    ///
    /// # Errors
    /// See [`Error`](crate::Error).
    pub async fn size(&self, url: &Url) -> Result<Option<u64>> {
        let head = Request::head(url);
        let headers = self.retried(|| self.headers_once(&head)).await?;
        let names = [LINKED_SIZE, CONTENT_LENGTH.as_str()];
        if let Some(size) = names.iter().find_map(|name| number(&headers, name)) {
            return Ok(Some(size));
        }
        // A server that compresses or chunks states the size only with a part of the file.
        let mut part = Request::get(url);
        part.headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        let headers = self.retried(|| self.headers_once(&part)).await?;
        Ok(total(&headers))
    }

    /// Creates a downloader of files of this server.
    #[must_use]
    pub fn downloader(&self, settings: DownloadSettings) -> Downloader {
        Downloader::new(self.client.clone(), self.token.clone(), settings)
    }

    async fn retried<T, F>(&self, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempts = self.retry.start();
        loop {
            match attempt().await {
                Err(error) => attempts.after(error).await?,
                done => return done,
            }
        }
    }

    async fn read_once(&self, request: &Request, limit: usize) -> Result<Vec<u8>> {
        let response = self.send(request, Follow::All).await?;
        read(&request.doing, success(request, response).await?, limit).await
    }

    async fn describe_once(&self, request: &Request) -> Result<HeaderMap> {
        let is_described = |response: &Response| response.headers().contains_key(LINKED_SIZE);
        let response = self.send(request, Follow::WithinOrigin(&is_described)).await?;
        if response.status().is_redirection() {
            return Ok(response.headers().clone());
        }
        Ok(success(request, response).await?.headers().clone())
    }

    async fn headers_once(&self, request: &Request) -> Result<HeaderMap> {
        let response = self.send(request, Follow::All).await?;
        Ok(success(request, response).await?.headers().clone())
    }

    async fn send(&self, request: &Request, follow: Follow<'_>) -> Result<Response> {
        let credentials = self.credentials().await?;
        let mut request = request.clone();
        // Sizes are of the file itself, not of a compressed form of it.
        request
            .headers
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.client.send(&request, credentials.as_ref(), follow).await
    }

    async fn credentials(&self) -> Result<Option<Credentials>> {
        match &self.token {
            Some(token) => token.credentials().await,
            None => Ok(None),
        }
    }
}

async fn success(request: &Request, response: Response) -> Result<Response> {
    if response.status().is_success() {
        return Ok(response);
    }
    let words = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    Err(status_error(&request.doing, response, words).await)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The total of `Content-Range: bytes 0-0/1234`.
fn total(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::client::Settings;
    use crate::policy::WebPolicy;

    fn hub(endpoint: &str) -> Result<Hub> {
        let policy = WebPolicy {
            allow_http: true,
            ..WebPolicy::default()
        };
        let settings = Settings {
            user_agent: "test",
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            redirects: 1,
            proxy: crate::client::ProxySettings::default(),
            ca_file: None,
        };
        let retry = Retry {
            attempts: 1,
            first_pause: Duration::ZERO,
            report: |_| (),
        };
        let client = Client::new(Arc::new(policy), settings)?;
        Hub::new(client, Url::parse(endpoint).unwrap(), None, retry)
    }

    #[test]
    fn endpoints_are_web_servers_and_paths_are_escaped() {
        assert_eq!(
            hub("https://h.co/mirror/")
                .unwrap()
                .url(&["a", "b c", "d?e"])
                .as_str(),
            "https://h.co/mirror/a/b%20c/d%3Fe"
        );
        assert!(hub("http://hub.example").is_ok());
        for endpoint in ["ftp://hub.example", "file:///etc/passwd"] {
            assert!(hub(endpoint).is_err(), "{endpoint}");
        }
    }
}

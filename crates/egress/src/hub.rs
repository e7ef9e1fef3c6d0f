//! Requests to one server that the operator named, such as a model hub: small files, and facts about large ones.
//!
//! Only the server itself sees the token.

use std::path::PathBuf;

use reqwest::Response;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use url::Url;

use crate::address::{Reach, reach};
use crate::client::{Client, Credentials, Follow, Request, read, status_error};
use crate::download::{DownloadSettings, Downloader};
use crate::error::{Error, Result};
use crate::policy::{Refusal, without_secrets};
use crate::retry::Retry;

/// The header with the size of a file that a hub keeps elsewhere. It comes with the redirect.
const LINKED_SIZE: &str = "x-linked-size";

/// A token in a file, for one origin. The file is read for every request, since a mounted Secret is replaced under the
/// program.
#[derive(Clone, Debug)]
pub struct BearerToken {
    url: Url,
    file: PathBuf,
}

impl BearerToken {
    /// Creates a token for the origin of `url`.
    ///
    /// # Errors
    /// The URL is plain HTTP, and not written as an address of this machine or a private network.
    pub fn new(url: &Url, file: PathBuf) -> Result<Self> {
        if url.scheme() == "http" && !is_near(url) {
            return Err(Error::Refused(Refusal::ExposedToken {
                url: without_secrets(url),
            }));
        }
        Ok(Self::on_trusted_network(url, file))
    }

    /// Creates a token that may be sent without encryption.
    #[must_use]
    pub fn on_trusted_network(url: &Url, file: PathBuf) -> Self {
        Self {
            url: url.clone(),
            file,
        }
    }

    /// Reads the token; `None` if the file is empty.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub async fn credentials(&self) -> Result<Option<Credentials>> {
        let text = tokio::fs::read_to_string(&self.file)
            .await
            .map_err(Error::local("read", &self.file))?;
        let token = text.trim();
        if token.is_empty() {
            return Ok(None);
        }
        let bad = || Error::Token {
            file: self.file.clone(),
        };
        if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(bad());
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| bad())?;
        authorization.set_sensitive(true);
        Ok(Some(Credentials {
            origin: self.url.origin(),
            authorization,
        }))
    }
}

/// A server and how it is asked.
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
    /// See [`Error`].
    pub async fn read(&self, url: &Url, limit: usize) -> Result<Vec<u8>> {
        let request = Request::get(url);
        self.retried(|| self.read_once(&request, limit)).await
    }

    /// The headers of a file, without the file. A redirect that states the size, or leaves the server, is not followed: the
    /// hub describes the file there.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe(&self, url: &Url) -> Result<HeaderMap> {
        let request = Request::head(url);
        self.retried(|| self.describe_once(&request)).await
    }

    /// The size of a file in bytes; `None` if the server does not state it.
    ///
    /// # Errors
    /// See [`Error`].
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

/// Reports whether a URL is written as an address of this machine or of a private network.
fn is_near(url: &Url) -> bool {
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => address.into(),
        Some(url::Host::Ipv6(address)) => address.into(),
        Some(url::Host::Domain(name)) => return name == "localhost",
        None => return false,
    };
    matches!(reach(address), Reach::Loopback | Reach::Private)
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
            proxy: false,
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

    #[tokio::test]
    async fn tokens_are_not_sent_in_the_clear() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "geheim\n").unwrap();
        let make = |endpoint: &str| BearerToken::new(&Url::parse(endpoint).unwrap(), file.clone());
        for endpoint in [
            "https://hub.example",
            "http://127.0.0.1:8080",
            "http://[::1]",
            "http://localhost",
            "http://10.1.2.3/hub",
        ] {
            assert!(make(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in ["http://hub.example", "http://8.8.8.8", "http://[::ffff:8.8.8.8]"] {
            assert!(make(endpoint).is_err(), "{endpoint}");
        }
        let token = make("https://hub.example").unwrap();
        let credentials = token.credentials().await.unwrap().unwrap();
        assert_eq!(credentials.authorization, "Bearer geheim");
        for shown in [format!("{token:?}"), format!("{credentials:?}")] {
            assert!(!shown.contains("geheim"), "{shown}");
        }
        std::fs::write(&file, " \n").unwrap();
        assert!(token.credentials().await.unwrap().is_none());
        std::fs::write(&file, "two words").unwrap();
        let error = token.credentials().await.unwrap_err();
        assert!(!error.to_string().contains("two words"), "{error}");
    }
}

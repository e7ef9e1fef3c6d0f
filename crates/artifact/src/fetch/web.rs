//! Fetching as a part of another program: files of one server that its operator named, such as a model hub.
//!
//! Everything that holds for the command `fetch` holds here too. Only the server itself is trusted: it is reached whatever its
//! address is, and it alone sees the token; what it redirects to has to be public.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::HeaderMap;
use tokio::sync::Semaphore;
use url::Url;

use super::download::Fetcher;
use super::request::{Credentials, Requester, Wanted};
use super::source::Source;
use crate::error::{Error, Result};
use crate::guard::{Guard, Reach, reach, shown};
use crate::http;
use crate::progress::Count;
use crate::retry::Retry;

/// Bytes of one request; larger files are fetched in parts.
const PART_BYTES: u64 = 16 << 20;
/// Requests at the same time.
const CONNECTIONS: usize = 4;
/// Pause after the first failure.
const PAUSE: Duration = Duration::from_secs(1);

/// How much, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that may be written in all.
    pub max_bytes: u64,
    /// How often a transfer is tried before it is given up; at least once.
    pub attempts: u32,
}

/// A file of the server.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    /// Where it is.
    pub url: Url,
    /// Its name in the directory: a plain one, without a path.
    pub name: String,
    /// Lower-case SHA-256 that it must have, if that is known.
    pub sha256: Option<String>,
}

/// One server, and what was fetched from it.
#[derive(Debug)]
pub struct Web {
    fetcher: Fetcher,
}

impl Web {
    /// Makes ready to fetch from the server of `endpoint` into `directory`.
    ///
    /// # Errors
    /// When the endpoint is no address of a web server, or a token would be sent to it over the internet without encryption.
    pub fn new(endpoint: &Url, token: Option<String>, directory: &Path, limits: Limits) -> Result<Self> {
        let host = endpoint
            .host_str()
            .ok_or_else(|| Error::Usage(format!("{} names no host", shown(endpoint))))?;
        if token.is_some() && endpoint.scheme() == "http" && !is_near(endpoint) {
            return Err(Error::Refused(format!(
                "a token would be sent to {} without encryption: use https",
                shown(endpoint)
            )));
        }
        let guard = Arc::new(Guard {
            allow_http: endpoint.scheme() == "http",
            allow_private: false,
            allowed_hosts: vec![host.trim_matches(['[', ']']).to_owned()],
        });
        guard.check(endpoint)?;
        let requester = Requester {
            client: http::client(&guard, None, http::Use::Web)?,
            guard,
            permits: Semaphore::new(CONNECTIONS),
            credentials: token.map(|token| Credentials {
                origin: endpoint.origin(),
                token,
            }),
        };
        Ok(Self {
            fetcher: Fetcher {
                requester,
                directory: directory.to_owned(),
                retry: Retry {
                    attempts: limits.attempts.max(1),
                    first: PAUSE,
                },
                part_bytes: PART_BYTES,
                connections: CONNECTIONS,
                max_bytes: limits.max_bytes,
                count: Arc::new(Count::default()),
                reserved: Default::default(),
            },
        })
    }

    /// A small file or answer, of at most `limit` bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read(&self, url: &Url, limit: usize) -> Result<Vec<u8>> {
        let mut attempts = self.fetcher.retry.begin();
        loop {
            let read = async {
                let response = self.fetcher.requester.get(url, Wanted::default()).await?;
                http::body(&doing(url), succeeded(url, response).await?, limit).await
            };
            match read.await {
                Err(error) => attempts.after(error).await?,
                read => return read,
            }
        }
    }

    /// What the server says about a file, without the file.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn look(&self, url: &Url) -> Result<HeaderMap> {
        let mut attempts = self.fetcher.retry.begin();
        loop {
            let look = async {
                let response = self.fetcher.requester.head(url).await?;
                let is_redirect = response.status().is_redirection();
                let response = if is_redirect {
                    response
                } else {
                    succeeded(url, response).await?
                };
                Ok(response.headers().clone())
            };
            match look.await {
                Err(error) => attempts.after(error).await?,
                look => return look,
            }
        }
    }

    /// Brings a file into the directory. One that is there with the right checksum is left alone, and one that was begun is
    /// gone on with.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn file(&self, file: &RemoteFile) -> Result<()> {
        let plain =
            !file.name.is_empty() && !file.name.starts_with('.') && !file.name.contains(['/', '\\', '\0']);
        if !plain {
            return Err(Error::Refused(format!(
                "{:?} is no plain name of a file",
                file.name
            )));
        }
        let directory = &self.fetcher.directory;
        std::fs::create_dir_all(directory).map_err(Error::local("create", directory))?;
        let source = Source {
            url: file.url.clone(),
            sha256: file.sha256.clone(),
            name: file.name.clone(),
        };
        self.fetcher.file(&source).await.map(drop)
    }

    /// Bytes received so far, of files.
    pub fn received(&self) -> u64 {
        self.fetcher.count.moved()
    }
}

fn doing(url: &Url) -> String {
    format!("fetch {}", shown(url))
}

async fn succeeded(url: &Url, response: Response) -> Result<Response> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (code, headers) = (response.status(), response.headers().clone());
    let said = http::body(&doing(url), response, 2048).await.unwrap_or_default();
    Err(http::status(
        &doing(url),
        code,
        &headers,
        &String::from_utf8_lossy(&said),
    ))
}

/// An address of this machine or of a private network, written as such.
fn is_near(endpoint: &Url) -> bool {
    let address = match endpoint.host() {
        Some(url::Host::Ipv4(address)) => address.into(),
        Some(url::Host::Ipv6(address)) => address.into(),
        Some(url::Host::Domain(name)) => return name == "localhost",
        None => return false,
    };
    matches!(reach(address), Reach::Loopback | Reach::Private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_sent_in_the_clear() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let limits = Limits {
            max_bytes: 1,
            attempts: 1,
        };
        let make = |endpoint: &str, token: Option<&str>| {
            let endpoint = Url::parse(endpoint).unwrap();
            Web::new(&endpoint, token.map(str::to_owned), Path::new("/nowhere"), limits)
        };
        for (endpoint, token) in [
            ("https://hub.example", Some("t")),
            ("http://hub.example", None),
            ("http://127.0.0.1:8080", Some("t")),
            ("http://[::1]", Some("t")),
            ("http://localhost", Some("t")),
            ("http://10.1.2.3/hub", Some("t")),
        ] {
            assert!(make(endpoint, token).is_ok(), "{endpoint}");
        }
        for (endpoint, token) in [
            ("http://hub.example", Some("t")),
            ("http://8.8.8.8", Some("t")),
            ("ftp://hub.example", None),
            ("file:///etc/passwd", None),
        ] {
            assert!(make(endpoint, token).is_err(), "{endpoint}");
        }
        let shown = format!("{:?}", make("https://hub.example", Some("geheim")).unwrap());
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[tokio::test]
    async fn names_stay_in_the_directory() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = Url::parse("https://127.0.0.1:1").unwrap();
        let limits = Limits {
            max_bytes: 1,
            attempts: 1,
        };
        let web = Web::new(&endpoint, None, Path::new("/nowhere"), limits).unwrap();
        for name in ["", "../x", "a/b", ".x", "a\\b", ".."] {
            let file = RemoteFile {
                url: endpoint.clone(),
                name: name.to_owned(),
                sha256: None,
            };
            assert!(matches!(web.file(&file).await, Err(Error::Refused(_))), "{name}");
        }
    }
}

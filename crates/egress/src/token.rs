//! A token in a file, which only one origin receives.

use std::path::PathBuf;

use reqwest::header::HeaderValue;
use url::Url;

use crate::address::{Reach, reach};
use crate::client::Credentials;
use crate::error::{Error, Result};
use crate::policy::{Refusal, without_secrets};

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
    use super::*;

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

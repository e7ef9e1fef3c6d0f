//! Addresses of ARM and of the token service, and the check that a URL in a response leads back to them.
//!
//! The Azure libraries refuse to send credentials to `http://`. Where plain HTTP is permitted, an address therefore
//! keeps its `https` spelling, and only the transport uses `http`.

use azure_core::http::Url;

/// A base address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an absolute URL.
    #[error("`{0}` must be a URL such as https://management.azure.com")]
    NotAUrl(String),
    /// Neither `https` nor `http`, or more than scheme, host and port.
    #[error("`{0}` must be scheme, host and port only")]
    NotABase(String),
    /// `http` where it is not permitted.
    #[error("`{0}` is not encrypted; --allow-insecure-endpoints permits that, for tests")]
    Insecure(String),
}

/// A base address: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    secure: Url,
    plain: bool,
}

impl Endpoint {
    /// Parses a base address. Surrounding space and a final slash are ignored.
    ///
    /// # Errors
    /// When it is not a base address, or not encrypted while `allow_insecure` is false.
    pub fn parse(text: &str, allow_insecure: bool) -> Result<Self, EndpointError> {
        let text = text.trim();
        let url = Url::parse(text).map_err(|_| EndpointError::NotAUrl(text.to_owned()))?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !bare || !anonymous {
            return Err(EndpointError::NotABase(text.to_owned()));
        }
        let plain = url.scheme() == "http";
        if plain && !allow_insecure {
            return Err(EndpointError::Insecure(text.to_owned()));
        }
        let secure = respelled(url, "https").ok_or_else(|| EndpointError::NotABase(text.to_owned()))?;
        Ok(Self { secure, plain })
    }

    /// Returns true if requests are sent without encryption.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The address, in its `https` spelling.
    pub(crate) fn secure(&self) -> &Url {
        &self.secure
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> (&str, u16) {
        authority(&self.secure)
    }

    /// Returns the URL in its `https` spelling if it leads to this endpoint. Otherwise `None`, so that no response can make
    /// us send our token to another server.
    pub(crate) fn admit(&self, url: &str) -> Option<Url> {
        let url = Url::parse(url).ok()?;
        let scheme = if self.plain { "http" } else { "https" };
        if url.scheme() != scheme || authority(&url) != self.authority() {
            return None;
        }
        respelled(url, "https")
    }
}

/// Host and port of a URL.
pub(crate) fn authority(url: &Url) -> (&str, u16) {
    (
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default(),
    )
}

/// The same URL with another scheme and the same port number.
pub(crate) fn respelled(mut url: Url, scheme: &str) -> Option<Url> {
    let port = url.port_or_known_default()?;
    url.set_scheme(scheme).ok()?;
    url.set_port(Some(port)).ok()?;
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_need_a_permission() {
        assert!(matches!(
            Endpoint::parse("http://127.0.0.1:80", false),
            Err(EndpointError::Insecure(_))
        ));
        let endpoint = Endpoint::parse(" http://127.0.0.1:8080/ ", true).unwrap();
        assert!(endpoint.is_plain());
        assert_eq!(endpoint.secure().as_str(), "https://127.0.0.1:8080/");
        let default_port = Endpoint::parse("http://arm.test", true).unwrap();
        assert_eq!(default_port.authority(), ("arm.test", 80));
    }

    #[test]
    fn only_bare_addresses_are_taken() {
        for bad in ["ftp://a", "https://a/b", "https://a?x=1", "https://u:p@a"] {
            assert!(
                matches!(Endpoint::parse(bad, true), Err(EndpointError::NotABase(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            Endpoint::parse("management.azure.com", true),
            Err(EndpointError::NotAUrl(_))
        ));
    }

    #[test]
    fn only_urls_of_the_same_origin_are_admitted() {
        let endpoint = Endpoint::parse("https://management.azure.com", false).unwrap();
        let admitted = endpoint
            .admit("https://MANAGEMENT.azure.com:443/subscriptions/s?t=1")
            .unwrap();
        assert_eq!(
            admitted.as_str(),
            "https://management.azure.com/subscriptions/s?t=1"
        );
        for bad in [
            "http://management.azure.com/",
            "https://management.azure.com:8443/",
            "https://management.azure.com.evil.test/",
            "https://evil.test/?u=management.azure.com",
            "/relative",
        ] {
            assert_eq!(endpoint.admit(bad), None, "{bad}");
        }
        let plain = Endpoint::parse("http://127.0.0.1:9", true).unwrap();
        assert!(plain.admit("http://127.0.0.1:9/x").is_some());
        assert_eq!(plain.admit("https://127.0.0.1:9/x"), None);
    }
}

//! The HTTP client: TLS roots, time limits, the guard; and what its failures mean.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, StatusCode};

use crate::error::{Error, Result};
use crate::guard::{Guard, Refusal, Resolver};

const CONNECT: Duration = Duration::from_secs(15);

/// Whom a client speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Web servers named by a Workspace. No proxy is used, for it would resolve names itself, behind the guard's
    /// back.
    Web,
    /// Registries, through the proxy of the environment, if there is one.
    Registry,
}

impl Use {
    /// How long the other side may be silent. Registries get more, for while they are sent a chunk, and while
    /// they put a large blob together, they say nothing.
    fn silence(self) -> Duration {
        match self {
            Self::Web => Duration::from_secs(60),
            Self::Registry => Duration::from_secs(600),
        }
    }
}

/// A client that reaches only what the guard permits and follows no redirects by itself.
///
/// # Errors
/// When the certificates cannot be read.
pub(crate) fn client(guard: &Arc<Guard>, ca_file: Option<&Path>, purpose: Use) -> Result<Client> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Resolver(Arc::clone(guard)))
        .tls_certs_only(roots(ca_file)?)
        .connect_timeout(CONNECT)
        .read_timeout(purpose.silence())
        .user_agent(concat!("kaito-artifact/", env!("CARGO_PKG_VERSION")));
    if purpose == Use::Web {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| Error::Usage(format!("cannot set up TLS: {}", chain(&error))))
}

/// Mozilla's roots, which are part of the program, those of the system if it has any, and the user's.
fn roots(ca_file: Option<&Path>) -> Result<Vec<Certificate>> {
    let mut roots = Vec::new();
    let system = rustls_native_certs::load_native_certs().certs;
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    for der in system.iter().chain(built_in) {
        // A strange certificate in the system's store is no reason to stop.
        roots.extend(Certificate::from_der(der));
    }
    if let Some(path) = ca_file {
        let pem = std::fs::read(path).map_err(Error::local("read", path))?;
        let bundle = Certificate::from_pem_bundle(&pem)
            .map_err(|error| Error::Usage(format!("{} holds no certificates: {error}", path.display())))?;
        roots.extend(bundle);
    }
    Ok(roots)
}

/// What a failed request means.
pub(crate) fn failure(doing: &str, error: &reqwest::Error) -> Error {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return Error::Refused(refusal.to_string());
        }
        source = inner.source();
    }
    Error::unavailable(format!("cannot {doing}: {}", chain(error)))
}

/// The other side speaks TLS and has a certificate that is not trusted.
pub(crate) fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // Input errors name what they hold as their source only from the second level on.
    let held = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    held.is_some_and(|held| is_untrusted(held)) || error.source().is_some_and(is_untrusted)
}

/// What an answer that is no success means.
pub(crate) fn status(doing: &str, status: StatusCode, headers: &HeaderMap, body: &str) -> Error {
    let text = format!(
        "cannot {doing}: the server answers {}{}",
        code(status),
        detail(body)
    );
    match status.as_u16() {
        401 | 403 => Error::Unauthorized(text),
        404 | 410 => Error::NotFound(text),
        408 | 425 | 429 | 500..=599 => Error::Unavailable {
            text,
            after: retry_after(headers),
        },
        _ => Error::Refused(text),
    }
}

fn code(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// The server's own words, if they are short and plain.
fn detail(body: &str) -> String {
    let words = body.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() || words.starts_with('<') {
        return String::new();
    }
    format!(" ({})", words.chars().take(300).collect::<String>())
}

/// `Retry-After` in its form of seconds; the form of a date is rare and ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The body of an answer, of which more than `limit` bytes are an error.
///
/// # Errors
/// When it is longer, or breaks off.
pub(crate) async fn body(doing: &str, response: Response, limit: usize) -> Result<Vec<u8>> {
    let mut response = response;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| failure(doing, &error))? {
        if body.len() + part.len() > limit {
            return Err(Error::TooMuch(format!(
                "cannot {doing}: the answer has more than {limit} bytes"
            )));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The error and its causes, without the URL, which may hold secrets.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.contains(&said) {
            let joint = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{joint}{said}");
        }
        source = inner.source();
    }
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if text.is_empty() {
        "the connection failed".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_classes() {
        let class = |code: u16| {
            let code = StatusCode::from_u16(code).unwrap();
            status("do it", code, &HeaderMap::new(), "").exit_code()
        };
        let expected = [
            (401, 4),
            (403, 4),
            (404, 5),
            (410, 5),
            (400, 3),
            (429, 6),
            (500, 6),
            (503, 6),
            (408, 6),
        ];
        for (code, exit) in expected {
            assert_eq!(class(code), exit, "{code}");
        }
    }

    #[test]
    fn a_server_may_ask_for_a_pause() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let Error::Unavailable { text, after } =
            status("do it", StatusCode::TOO_MANY_REQUESTS, &headers, "slow\n down")
        else {
            panic!("of another class")
        };
        assert_eq!(after, Some(Duration::from_secs(7)));
        assert_eq!(
            text,
            "cannot do it: the server answers 429 Too Many Requests (slow down)"
        );
        assert_eq!(detail("<html>"), "");
    }

    #[tokio::test]
    async fn a_name_is_refused_by_the_address_it_has() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(&Arc::new(Guard::default()), None, Use::Web).unwrap();
        // Not checked before it is sent, as a name of the internet would not be found out either.
        let error = client.get("https://localhost:1/").send().await.unwrap_err();
        assert!(matches!(failure("fetch", &error), Error::Refused(_)), "{error:?}");
        let private = Guard {
            allow_private: true,
            ..Guard::default()
        };
        let client = super::client(&Arc::new(private), None, Use::Web).unwrap();
        let error = client.get("https://localhost:1/").send().await.unwrap_err();
        assert!(
            matches!(failure("fetch", &error), Error::Unavailable { .. }),
            "{error:?}"
        );
    }
}

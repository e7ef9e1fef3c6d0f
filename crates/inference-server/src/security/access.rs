//! The check of API keys: every path except a few requires one, if there are keys.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;

use super::keys::{self, Keys};
use crate::api::ApiError;
use crate::engine::CacheScope;

/// Paths without a check: probes and scrapers have no key, and the page asks for one itself.
const OPEN_PATHS: [&str; 7] = [
    "/",
    "/health",
    "/healthz",
    "/live",
    "/metrics",
    "/metrics/prometheus",
    "/ui",
];

/// Passes requests with one of the keys on. The key is removed, so that an engine behind the proxy does not see it.
pub(crate) async fn check(
    State(keys): State<watch::Receiver<Arc<Keys>>>,
    mut request: Request,
    next: Next,
) -> Response {
    if !is_open(request.method(), request.uri().path()) {
        let keys = Arc::clone(&keys.borrow());
        let mut scope = None;
        let refused = match bearer(request.headers()) {
            Some(key) if keys.accepts(key) => {
                scope = Some(CacheScope(keys::scope(key)));
                None
            }
            Some(_) => Some("Incorrect API key provided."),
            None => Some("You didn't provide an API key: send it as `Authorization: Bearer KEY`."),
        };
        if let Some(message) = refused {
            let mut response = ApiError::unauthorized(message).into_response();
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        // Clients with different keys must not learn from the prefix cache what the others ask.
        if let Some(scope) = scope {
            request.extensions_mut().insert(scope);
        }
    }
    request.headers_mut().remove(header::AUTHORIZATION);
    next.run(request).await
}

fn is_open(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && OPEN_PATHS.contains(&path)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bearer_tokens() {
        let key = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(key("Bearer abc").as_deref(), Some(&b"abc"[..]));
        assert_eq!(key("bearer  a b ").as_deref(), Some(&b"a b"[..]));
        for other in ["", "Bearer", "Basic abc", "abc"] {
            assert_eq!(key(other), None, "{other}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn few_paths_are_open() {
        assert!(is_open(&Method::GET, "/health") && is_open(&Method::HEAD, "/metrics"));
        for path in ["/v1/models", "/health/", "//health", "/chat", "/ui/x"] {
            assert!(!is_open(&Method::GET, path), "{path}");
        }
        assert!(!is_open(&Method::POST, "/health"));
    }
}

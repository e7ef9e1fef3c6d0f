//! Cross-origin requests: web pages of other origins that may use the API. Without the flag browsers refuse them all.

use std::sync::Arc;

use anyhow::ensure;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Seconds for which a browser remembers an answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Origins that may use the API.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Arc<[HeaderValue]>);

impl Origins {
    /// Parses origins; `None` if there are none.
    pub(crate) fn new(origins: &[String]) -> anyhow::Result<Option<Self>> {
        let parse = |origin: &String| {
            let is_origin = origin == "*"
                || url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            ensure!(
                is_origin,
                "--cors-origin must be `*` or an origin such as https://chat.example.com, not {origin}"
            );
            Ok(HeaderValue::from_str(origin)?)
        };
        let origins: Arc<[HeaderValue]> = origins.iter().map(parse).collect::<anyhow::Result<_>>()?;
        Ok((!origins.is_empty()).then_some(Self(origins)))
    }

    /// Returns the value of `Access-Control-Allow-Origin` for a request, if its origin may use the API.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0
            .iter()
            .find(|known| *known == "*" || *known == origin)
            .cloned()
    }
}

/// Answers a browser's question, and marks responses for pages that may read them.
pub(crate) async fn answer(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let allowed = origins.allowed(request.headers());
    let asks = *request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let asked_headers = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let mut response = if asks {
        let mut response = StatusCode::NO_CONTENT.into_response();
        if allowed.is_some() {
            let headers = response.headers_mut();
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("GET, POST"),
            );
            headers.extend(asked_headers.map(|asked| (header::ACCESS_CONTROL_ALLOW_HEADERS, asked)));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.extend(allowed.map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_checked_and_matched_whole() {
        let origins = |list: &[&str]| Origins::new(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(origins(&[]).unwrap().is_none());
        for wrong in ["example.com", "https://example.com/", "https://a b", ""] {
            assert!(origins(&[wrong]).is_err(), "{wrong}");
        }
        let allowed = |list: &[&str], origin: &'static str| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            origins(list).unwrap().unwrap().allowed(&headers)
        };
        let one = ["https://a.example"];
        assert_eq!(allowed(&one, "https://a.example").unwrap(), "https://a.example");
        assert_eq!(allowed(&one, "https://a.example.evil"), None);
        assert_eq!(allowed(&["*"], "https://b.example").unwrap(), "*");
    }
}

//! The context of one request: its id, and the parameters of its body that have no effect.
//!
//! Clients send more parameters every year, so an unknown one is accepted. It is not dropped silently: the response lists it in a
//! header, and the log has a line the first time a client sends it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::engine::CacheScope;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Lists the parameters of the body that have no effect.
const IGNORED_PARAMETERS: HeaderName = HeaderName::from_static("x-ignored-parameters");
/// Maximum length of a request id from a client.
const MAX_ID_BYTES: usize = 128;
/// Maximum of parameters in the header.
const MAX_LISTED: usize = 32;
/// Maximum length of a parameter in the header.
const MAX_NAME_CHARS: usize = 64;
/// Maximum of parameters in the log, because clients choose the names.
const MAX_REPORTED: usize = 256;

/// The context of one request. Clones share the ignored parameters.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// The client's id of the request, or one of ours.
    pub(crate) id: String,
    /// The clients that share cached prefixes with this one.
    pub(crate) scope: CacheScope,
    ignored: Arc<Mutex<Vec<String>>>,
}

impl RequestContext {
    /// Creates the context with the client's id, or a random one if the client sent none that fits.
    pub(crate) fn new(client_id: Option<&str>) -> Self {
        let client_id = client_id.filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES);
        Self {
            id: client_id.map_or_else(|| format!("{:032x}", fastrand::u128(..)), str::to_owned),
            scope: CacheScope::default(),
            ignored: Arc::default(),
        }
    }

    /// Records a parameter that has no effect, by its path.
    pub(crate) fn ignore(&self, parameter: &str) {
        let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        if ignored.len() < MAX_LISTED {
            // A header holds visible ASCII only.
            ignored.push(
                parameter
                    .chars()
                    .take(MAX_NAME_CHARS)
                    .collect::<String>()
                    .escape_default()
                    .to_string(),
            );
        }
    }

    /// Returns the parameters that have no effect.
    pub(crate) fn ignored(&self) -> Vec<String> {
        self.ignored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Ignored parameters that the log has a line for. Clones share the set.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReportedParameters(Arc<Mutex<BTreeSet<String>>>);

impl ReportedParameters {
    fn report(&self, ignored: &[String]) {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for parameter in ignored {
            if reported.len() < MAX_REPORTED && reported.insert(parameter.clone()) {
                tracing::warn!(%parameter, "ignoring a request parameter that has no effect");
            }
        }
    }
}

/// Gives every request its context, and every response the id and the ignored parameters.
pub(crate) async fn with_context(
    State(reported): State<ReportedParameters>,
    mut request: Request,
    next: Next,
) -> Response {
    let client_id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let mut context = RequestContext::new(client_id);
    context.scope = request.extensions().get().copied().unwrap_or_default();
    request.extensions_mut().insert(context.clone());
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let ignored = context.ignored();
    if !ignored.is_empty() {
        reported.report(&ignored);
        if let Ok(list) = HeaderValue::from_str(&ignored.join(", ")) {
            response.headers_mut().insert(IGNORED_PARAMETERS, list);
        }
    }
    response
}

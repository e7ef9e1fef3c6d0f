//! A scripted API server for tests: a function from request to response. It keeps no objects.

use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

/// A request as the server received it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    async fn of(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        let header = parts.headers.get(http::header::CONTENT_TYPE);
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_type: header
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }
}

/// Requests so far.
pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

/// Returns a client of a server that responds as `answer` says; after `None` it never responds.
pub(crate) fn serve<F>(mut answer: F) -> (Client, Log)
where
    F: FnMut(&Seen) -> Option<(u16, Value)> + Send + 'static,
{
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let log = Log::default();
    let seen_so_far = Arc::clone(&log);
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some((request, send)) = handle.next_request().await {
            let seen = Seen::of(request).await;
            let answer = answer(&seen);
            seen_so_far.lock().unwrap().push(seen);
            match answer {
                Some((code, body)) => send.send_response(response(code, &body)),
                None => unanswered.push(send),
            }
        }
    });
    (Client::new(service, "default"), log)
}

fn response(code: u16, body: &Value) -> Response<Body> {
    let body = Body::from(serde_json::to_vec(body).unwrap());
    Response::builder()
        .status(StatusCode::from_u16(code).unwrap())
        .body(body)
        .unwrap()
}

/// Response of a server that refuses.
pub(crate) fn refusal(code: u16) -> (u16, Value) {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by the script", "reason": reason, "code": code,
    });
    (code, status)
}

/// Response of a server that has written the object.
pub(crate) fn written(version: u64) -> (u16, Value) {
    (
        200,
        json!({ "metadata": { "name": "x", "resourceVersion": version.to_string() } }),
    )
}

/// Method and path of each request.
pub(crate) fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(Seen::line).collect()
}

//! Admission before work: what a client sends is bounded before it is parsed, and the processors before text is encoded.
//!
//! The engine has a queue of its own. These bounds protect the way to it: without them a few large bodies would take the memory,
//! or the threads that answer probes.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::ApiError;

/// Maximum of a request's body, in bytes: larger than the longest context.
pub(crate) const MAX_BODY_BYTES: usize = 8 << 20;
/// Memory for all bodies that are not answered yet, in KiB.
const ALL_BODIES_KIB: usize = 64 << 10;
/// Time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that a request waits for its turn.
const WAIT: Duration = Duration::from_secs(10);
/// Maximum of texts that are encoded at the same time.
const MAX_ENCODING: usize = 4;

/// The bounds, which all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// Memory for bodies, in KiB.
    bodies: Arc<Semaphore>,
    /// Texts that may be rendered and encoded at the same time.
    encoding: Arc<Semaphore>,
}

impl Default for Admission {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            bodies: Arc::new(Semaphore::new(ALL_BODIES_KIB)),
            encoding: Arc::new(Semaphore::new(processors.min(MAX_ENCODING))),
        }
    }
}

impl Admission {
    /// Runs work on texts, on a thread that answers no other request.
    pub(crate) async fn encode<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = Arc::clone(&self.encoding).acquire_owned();
        let permit = tokio::time::timeout(WAIT, turn).await;
        let permit = permit
            .map_err(|_| ApiError::too_many())?
            .map_err(ApiError::internal)?;
        let task = tokio::task::spawn_blocking(move || {
            // The client may be gone before the work ends, which still counts until then.
            let _permit = permit;
            work()
        });
        task.await.map_err(ApiError::internal)?
    }

    async fn receive(
        &self,
        length: Option<usize>,
        body: Body,
    ) -> Result<(SemaphorePermit<'_>, Bytes), ApiError> {
        let bytes = length.unwrap_or(MAX_BODY_BYTES);
        if bytes > MAX_BODY_BYTES {
            return Err(ApiError::body_too_large(MAX_BODY_BYTES));
        }
        let kib = u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
        let permit = tokio::time::timeout(WAIT, self.bodies.acquire_many(kib)).await;
        let permit = permit
            .map_err(|_| ApiError::too_many())?
            .map_err(ApiError::internal)?;
        let read = tokio::time::timeout(BODY_TIMEOUT, read(body)).await;
        Ok((permit, read.map_err(|_| ApiError::body_incomplete())??))
    }
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::body_incomplete())?;
        if bytes.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(ApiError::body_too_large(MAX_BODY_BYTES));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

/// Receives the bodies of requests, which handlers get whole.
pub(crate) async fn receive(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    match admission.receive(length, body).await {
        Ok((_permit, bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_for_memory_and_are_bounded() {
        let admission = Admission::default();
        let error = admission.receive(Some(MAX_BODY_BYTES + 1), Body::empty()).await;
        assert_eq!(error.unwrap_err().status, 413);
        let chunked = Body::from(vec![b' '; MAX_BODY_BYTES + 1]);
        assert_eq!(admission.receive(None, chunked).await.unwrap_err().status, 413);
        let (held, bytes) = admission.receive(Some(2), Body::from("{}")).await.unwrap();
        assert_eq!(bytes, "{}");
        drop(held);

        let mut all = Vec::new();
        for _ in 0..ALL_BODIES_KIB * 1024 / MAX_BODY_BYTES {
            all.push(admission.receive(None, Body::empty()).await.unwrap());
        }
        assert_eq!(
            admission
                .receive(Some(1), Body::from("1"))
                .await
                .unwrap_err()
                .status,
            429
        );
        all.pop();
        assert!(admission.receive(Some(1), Body::from("1")).await.is_ok());
        let silent = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        all.pop();
        assert_eq!(admission.receive(Some(1), silent).await.unwrap_err().status, 408);
    }

    #[tokio::test]
    async fn texts_are_encoded_in_turn_and_problems_are_reported() {
        let admission = Admission::default();
        assert_eq!(admission.encode(|| Ok(1)).await.unwrap(), 1);
        let failed = admission.encode::<()>(|| Err(ApiError::too_many())).await;
        assert_eq!(failed.unwrap_err().status, 429);
    }
}

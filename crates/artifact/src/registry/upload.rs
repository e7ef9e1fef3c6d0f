//! Pushes blobs and manifests. A broken upload is resumed at the offset that the registry reports.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use egress::{Body, Request, TransferCount};
use oci_image::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::client::{Registry, location, refusal, with_header};
use crate::error::{Error, Result};

/// Largest chunk that a registry may ask for, since a chunk is held in memory.
const LARGEST_CHUNK: u64 = 256 << 20;

/// The content of a blob.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In a file that is read a chunk at a time.
    File(Arc<std::fs::File>),
}

/// A blob to push.
#[derive(Debug)]
pub(crate) struct Blob<'a> {
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) content: Content,
    /// Bytes of one request.
    pub(crate) chunk: u64,
    /// A repository that may have the blob.
    pub(crate) mount_from: Option<&'a str>,
}

/// An upload, in the state that the registry reported.
#[derive(Debug)]
struct Session {
    url: Url,
    /// Bytes that the registry has.
    offset: u64,
    chunk: u64,
}

/// The result of one request of an upload.
enum UploadStep {
    /// The upload continues.
    Going(Session),
    /// The registry has the blob.
    Done,
}

impl Registry {
    /// Pushes a blob unless the registry has it. Returns true if bytes were sent.
    ///
    /// # Errors
    /// The registry refuses, or every attempt failed.
    pub(crate) async fn push_blob(&mut self, blob: &Blob<'_>, count: &TransferCount) -> Result<bool> {
        let mut attempts = self.retry.start();
        let mut session = None;
        let mut sent = false;
        loop {
            let whole = self.refuses_chunks;
            let before = session.as_ref().map_or(0, |session: &Session| session.offset);
            let step = match session.take() {
                None if self.has_blob(blob.descriptor).await? => return Ok(sent),
                None => self.begin(blob).await,
                Some(session) => self.send_next(blob, session).await,
            };
            match step {
                Ok(UploadStep::Done) => {
                    let rest = if sent { blob.descriptor.size() - before } else { 0 };
                    count.add(rest);
                    return Ok(sent);
                }
                Ok(UploadStep::Going(going)) => {
                    sent = true;
                    if going.offset > before {
                        attempts.reset();
                        count.add(going.offset - before);
                    }
                    session = Some(going);
                }
                Err(_) if self.refuses_chunks && !whole => session = None,
                Err((session_left, error)) => {
                    attempts.after(error).await?;
                    session = match session_left {
                        // Half of a single request is nothing to resume.
                        Some(_) if whole => None,
                        Some(left) => self.state_of(blob, left).await,
                        None => None,
                    };
                }
            }
        }
    }

    async fn has_blob(&mut self, descriptor: &Descriptor) -> Result<bool> {
        let doing = format!("look for a blob in {}", self.target.reference);
        let call = Request::new(
            &doing,
            Method::HEAD,
            self.url(&format!("blobs/{}", descriptor.digest()))?,
        );
        match self.execute(&call).await {
            Ok(response) => Ok(response.status() == StatusCode::OK),
            // Some registries permit a push but not a look.
            Err(Error::Denied { .. }) => {
                self.restart_credentials();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts an upload, or mounts the blob from another repository.
    async fn begin(&mut self, blob: &Blob<'_>) -> std::result::Result<UploadStep, (Option<Session>, Error)> {
        let fresh = |error| (None, error);
        let doing = format!("begin an upload to {}", self.target.reference);
        let mut url = self.url("blobs/uploads/").map_err(fresh)?;
        if let Some(from) = blob.mount_from {
            let digest = blob.descriptor.digest().to_string();
            url.query_pairs_mut()
                .append_pair("mount", &digest)
                .append_pair("from", from);
        }
        let call = with_header(Request::new(&doing, Method::POST, url), CONTENT_LENGTH, "0");
        let response = self.once(&call).await.map_err(fresh)?;
        match response.status() {
            StatusCode::CREATED => Ok(UploadStep::Done),
            StatusCode::ACCEPTED => {
                let smallest = number(response.headers(), "oci-chunk-min-length").unwrap_or(0);
                let session = location(&call.url, response.headers()).map(|url| Session {
                    url,
                    offset: 0,
                    chunk: if self.refuses_chunks {
                        u64::MAX
                    } else {
                        blob.chunk.max(smallest.min(LARGEST_CHUNK))
                    },
                });
                session
                    .map(UploadStep::Going)
                    .ok_or_else(|| fresh(no_location(&doing)))
            }
            _ => Err(fresh(refusal(&doing, response).await)),
        }
    }

    /// Sends the next chunk. The last one completes the upload.
    async fn send_next(
        &mut self,
        blob: &Blob<'_>,
        session: Session,
    ) -> std::result::Result<UploadStep, (Option<Session>, Error)> {
        let doing = format!("upload to {}", self.target.reference);
        let size = blob.descriptor.size();
        let length = session.chunk.min(size.saturating_sub(session.offset));
        let end = session.offset + length;
        let is_whole = session.offset == 0 && end == size;
        let part = match (&blob.content, is_whole) {
            // Too large for the memory, if the registry refuses chunks.
            (Content::File(file), true) => Body::file(Arc::clone(file), size),
            _ => match read(&blob.content, session.offset, length).await {
                Ok(part) => Body::from(part),
                Err(error) => return Err((None, error)),
            },
        };
        let is_last = session.offset == size || is_whole;
        let call = if is_last {
            let mut url = session.url.clone();
            url.query_pairs_mut()
                .append_pair("digest", blob.descriptor.digest().as_ref());
            Request::new(&doing, Method::PUT, url)
        } else {
            let range = format!("{}-{}", session.offset, end.saturating_sub(1));
            let request = Request::new(&doing, Method::PATCH, session.url.clone());
            with_header(request, CONTENT_RANGE, &range)
        };
        let call = with_header(call, CONTENT_TYPE, "application/octet-stream");
        let mut call = with_header(call, CONTENT_LENGTH, &length.to_string());
        call.body = Some(part);
        let response = match self.once(&call).await {
            Ok(response) => response,
            Err(error) => return Err((Some(session), error)),
        };
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT if is_last => Ok(UploadStep::Done),
            StatusCode::ACCEPTED if !is_last => match location(&session.url, response.headers()) {
                Some(url) => Ok(UploadStep::Going(Session {
                    url,
                    offset: end,
                    ..session
                })),
                None => Err((None, no_location(&doing))),
            },
            status if !is_last && session.offset == 0 && refuses_chunks(status) => {
                self.refuses_chunks = true;
                Err((None, refusal(&doing, response).await))
            }
            _ => Err(lost(&doing, session, response).await),
        }
    }

    /// Asks the registry for the state of an upload; `None` if the registry has forgotten it.
    async fn state_of(&mut self, blob: &Blob<'_>, session: Session) -> Option<Session> {
        let call = Request::new("ask for the state of an upload", Method::GET, session.url.clone());
        let response = self.execute(&call).await.ok()?;
        if !matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::OK | StatusCode::ACCEPTED
        ) {
            return None;
        }
        let offset = arrived(response.headers())?;
        let url = location(&session.url, response.headers()).unwrap_or(session.url);
        (offset <= blob.descriptor.size()).then_some(Session {
            url,
            offset,
            chunk: session.chunk,
        })
    }

    /// Pushes a manifest under the reference's tag.
    ///
    /// # Errors
    /// The registry refuses the manifest or stores something else.
    pub(crate) async fn push_manifest(&mut self, descriptor: &Descriptor, bytes: Vec<u8>) -> Result<()> {
        let tag = self.target.version().to_owned();
        self.put_manifest(&tag, descriptor, bytes).await
    }

    /// Pushes a manifest that an index names, without a tag.
    ///
    /// # Errors
    /// The registry refuses the manifest or stores something else.
    pub(crate) async fn push_untagged(&mut self, descriptor: &Descriptor, bytes: Vec<u8>) -> Result<()> {
        self.put_manifest(descriptor.digest().as_ref(), descriptor, bytes)
            .await
    }

    async fn put_manifest(&mut self, version: &str, descriptor: &Descriptor, bytes: Vec<u8>) -> Result<()> {
        let doing = format!("push {}", self.target.reference);
        let url = self.url(&format!("manifests/{version}"))?;
        let call = Request::new(&doing, Method::PUT, url);
        let mut call = with_header(call, CONTENT_TYPE, descriptor.media_type().as_ref());
        call.body = Some(Body::from(bytes));
        let response = self.execute(&call).await?;
        if !response.status().is_success() {
            return Err(refusal(&doing, response).await);
        }
        let stored = response
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok());
        match stored {
            Some(stored) if stored != descriptor.digest().as_ref() => Err(Error::Corrupt {
                doing,
                problem: format!("the registry stored {stored} instead of {}", descriptor.digest()),
            }),
            _ => Ok(()),
        }
    }
}

/// Reports whether the response to a first chunk means that the registry takes whole blobs only, as some cloud registries do.
fn refuses_chunks(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 411 | 415 | 416 | 422 | 501)
}

/// The error of an unexpected response, and the session to resume, if any.
async fn lost(doing: &str, session: Session, response: Response) -> (Option<Session>, Error) {
    let code = response.status();
    let error = refusal(doing, response).await;
    match code {
        // The offset is wrong: ask for the state of the upload.
        StatusCode::RANGE_NOT_SATISFIABLE => (Some(session), Error::UploadLost(Box::new(error))),
        // The registry has forgotten the upload, or its bytes differ from those that were sent.
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => (None, Error::UploadLost(Box::new(error))),
        _ => (None, error),
    }
}

fn no_location(doing: &str) -> Error {
    Error::Protocol {
        doing: doing.to_owned(),
        problem: "the registry returned no URL to upload to".to_owned(),
    }
}

/// The number of bytes in `Range: 0-LAST`. Registries send `0-0` also for no bytes, which is meant here: chunks are larger
/// than one byte.
fn arrived(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let (_, last) = text.trim_start_matches("bytes=").split_once('-')?;
    match last.parse().ok()? {
        0 => Some(0),
        last => u64::checked_add(last, 1),
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

async fn read(content: &Content, start: u64, length: u64) -> Result<Bytes> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match content {
        Content::Bytes(bytes) => {
            let from = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
            Ok(bytes.slice(from..from.saturating_add(length).min(bytes.len())))
        }
        Content::File(file) => {
            let file = Arc::clone(file);
            let read = tokio::task::spawn_blocking(move || {
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, start)
                    .map(|()| Bytes::from(buffer))
            });
            let read = read.await.map_err(|error| Error::task(&error))?;
            read.map_err(Error::local("read", Path::new("the packed image")))
        }
    }
}

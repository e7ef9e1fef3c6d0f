//! Pushes blobs and manifests. An upload that breaks goes on where the registry says it stands.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use oci_image::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::client::{Call, Registry, location, refusal};
use crate::error::{Error, Result};
use crate::progress::Count;

/// A registry that wants larger chunks than this wants too much memory.
const LARGEST_CHUNK: u64 = 256 << 20;

/// The content of a blob.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In a file, of which a chunk at a time is read.
    File(Arc<std::fs::File>),
}

/// A blob to be pushed.
#[derive(Debug)]
pub(crate) struct Blob<'a> {
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) content: Content,
    /// Bytes of one request.
    pub(crate) chunk: u64,
    /// A repository that may have it.
    pub(crate) mount_from: Option<&'a str>,
}

/// An upload as the registry knows it.
#[derive(Debug)]
struct Session {
    url: Url,
    /// Bytes that have arrived.
    offset: u64,
    chunk: u64,
}

/// How a step went.
enum Step {
    /// The upload goes on.
    Going(Session),
    /// The blob is there.
    Done,
}

impl Registry {
    /// Pushes a blob unless it is there already; says whether bytes were sent.
    ///
    /// # Errors
    /// When the registry refuses, or fails more often than is allowed.
    pub(crate) async fn push_blob(&mut self, blob: &Blob<'_>, count: &Count) -> Result<bool> {
        let mut attempts = self.retry.begin();
        let mut session = None;
        let mut sent = false;
        loop {
            let before = session.as_ref().map_or(0, |session: &Session| session.offset);
            let step = match session.take() {
                None if self.has_blob(blob.descriptor).await? => return Ok(sent),
                None => self.begin(blob).await,
                Some(session) => self.send_next(blob, session).await,
            };
            match step {
                Ok(Step::Done) => {
                    let rest = if sent { blob.descriptor.size() - before } else { 0 };
                    count.add(rest);
                    return Ok(sent);
                }
                Ok(Step::Going(going)) => {
                    sent = true;
                    if going.offset > before {
                        attempts.reset();
                        count.add(going.offset - before);
                    }
                    session = Some(going);
                }
                Err((lost, error)) => {
                    attempts.after(error).await?;
                    session = match lost {
                        Some(lost) => self.where_is(blob, lost).await,
                        None => None,
                    };
                }
            }
        }
    }

    async fn has_blob(&mut self, descriptor: &Descriptor) -> Result<bool> {
        let doing = format!("look for a blob in {}", self.target.reference);
        let call = Call::new(
            &doing,
            Method::HEAD,
            self.url(&format!("blobs/{}", descriptor.digest()))?,
        );
        match self.execute(&call).await {
            Ok(response) => Ok(response.status() == StatusCode::OK),
            // Some registries let one push and not look.
            Err(Error::Unauthorized(_)) => {
                self.begin_credentials_anew();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens an upload, or mounts the blob from another repository.
    async fn begin(&mut self, blob: &Blob<'_>) -> std::result::Result<Step, (Option<Session>, Error)> {
        let fresh = |error| (None, error);
        let doing = format!("begin an upload to {}", self.target.reference);
        let mut url = self.url("blobs/uploads/").map_err(fresh)?;
        if let Some(from) = blob.mount_from {
            let digest = blob.descriptor.digest().to_string();
            url.query_pairs_mut()
                .append_pair("mount", &digest)
                .append_pair("from", from);
        }
        let call = Call::new(&doing, Method::POST, url).header(CONTENT_LENGTH, "0");
        let response = self.once(&call).await.map_err(fresh)?;
        match response.status() {
            StatusCode::CREATED => Ok(Step::Done),
            StatusCode::ACCEPTED => {
                let smallest = number(response.headers(), "oci-chunk-min-length").unwrap_or(0);
                let session = location(&call.url, response.headers()).map(|url| Session {
                    url,
                    offset: 0,
                    chunk: blob.chunk.max(smallest.min(LARGEST_CHUNK)),
                });
                session.map(Step::Going).ok_or_else(|| fresh(no_location(&doing)))
            }
            _ => Err(fresh(refusal(&doing, response).await)),
        }
    }

    /// Sends the next chunk, or the last bytes with the end.
    async fn send_next(
        &mut self,
        blob: &Blob<'_>,
        session: Session,
    ) -> std::result::Result<Step, (Option<Session>, Error)> {
        let doing = format!("upload to {}", self.target.reference);
        let size = blob.descriptor.size();
        let length = session.chunk.min(size.saturating_sub(session.offset));
        let end = session.offset + length;
        let part = match read(&blob.content, session.offset, length).await {
            Ok(part) => part,
            Err(error) => return Err((None, error)),
        };
        let is_whole = session.offset == 0 && end == size;
        let is_last = session.offset == size || is_whole;
        let call = if is_last {
            let mut url = session.url.clone();
            url.query_pairs_mut()
                .append_pair("digest", blob.descriptor.digest().as_ref());
            Call::new(&doing, Method::PUT, url)
        } else {
            let range = format!("{}-{}", session.offset, end.saturating_sub(1));
            Call::new(&doing, Method::PATCH, session.url.clone()).header(CONTENT_RANGE, &range)
        };
        let call = call
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, &part.len().to_string())
            .body(part);
        let response = match self.once(&call).await {
            Ok(response) => response,
            Err(error) => return Err((Some(session), error)),
        };
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT if is_last => Ok(Step::Done),
            StatusCode::ACCEPTED if !is_last => match location(&session.url, response.headers()) {
                Some(url) => Ok(Step::Going(Session {
                    url,
                    offset: end,
                    ..session
                })),
                None => Err((None, no_location(&doing))),
            },
            _ => Err(lost(&doing, session, response).await),
        }
    }

    /// Asks the registry how much of an upload has arrived; `None` when it knows nothing of it any more.
    async fn where_is(&mut self, blob: &Blob<'_>, session: Session) -> Option<Session> {
        let call = Call::new("ask for the state of an upload", Method::GET, session.url.clone());
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
    /// When the registry refuses it or stores something else.
    pub(crate) async fn push_manifest(&mut self, descriptor: &Descriptor, bytes: Vec<u8>) -> Result<()> {
        let doing = format!("push {}", self.target.reference);
        let url = self.url(&format!("manifests/{}", self.target.version()))?;
        let call = Call::new(&doing, Method::PUT, url)
            .header(CONTENT_TYPE, descriptor.media_type().as_ref())
            .body(Bytes::from(bytes));
        let response = self.execute(&call).await?;
        if !response.status().is_success() {
            return Err(refusal(&doing, response).await);
        }
        let stored = response
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok());
        match stored {
            Some(stored) if stored != descriptor.digest().as_ref() => Err(Error::Corrupt(format!(
                "cannot {doing}: the registry stored {stored} instead of {}",
                descriptor.digest()
            ))),
            _ => Ok(()),
        }
    }
}

/// What an answer that was not hoped for means: begin again where that helps.
async fn lost(doing: &str, session: Session, response: Response) -> (Option<Session>, Error) {
    let code = response.status();
    let error = refusal(doing, response).await;
    match code {
        // Out of step: ask where the upload stands.
        StatusCode::RANGE_NOT_SATISFIABLE => (Some(session), Error::unavailable(error.to_string())),
        // The upload is forgotten, or its bytes are not those that were sent.
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => (None, Error::unavailable(error.to_string())),
        _ => (None, error),
    }
}

fn no_location(doing: &str) -> Error {
    Error::Refused(format!(
        "cannot {doing}: the registry does not say where to upload to"
    ))
}

/// How many bytes `Range: 0-LAST` means. Registries say `0-0` also when there are none, which then is meant:
/// nobody sends single bytes.
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

//! Downloads: in parts, concurrently, where the server can do that; otherwise in one piece.
//!
//! A file appears under its name only when it is complete and its checksum, if known, is right. Until then it is a hidden
//! file with notes beside it, from which a restarted program continues.

mod count;
mod disk;
mod partial;
mod parts;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::client::{Client, Follow, Request, chunk};
use crate::error::{Error, Result};
use crate::retry::Retry;
use crate::token::BearerToken;
pub use count::TransferCount;
use disk::{finish, hex, is_complete, open, remove};
use partial::PartialFile;
pub use partial::RemoteFile;
use parts::{DownloadParts, Span, content_range};

/// The bounds of a downloader.
#[derive(Clone, Debug)]
pub struct DownloadSettings {
    /// The directory to fill.
    pub directory: PathBuf,
    /// Attempts at a file or a part.
    pub retry: Retry,
    /// Bytes of one request.
    pub part_bytes: u64,
    /// Concurrent requests.
    pub connections: usize,
    /// Most bytes of all files.
    pub max_bytes: u64,
}

/// The end of one download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downloaded {
    /// The file was there already, with the right checksum.
    Present,
    /// The file was fetched.
    Fetched {
        /// Its size in bytes.
        size: u64,
    },
}

/// Downloads files of one command or server.
#[derive(Debug)]
pub struct Downloader {
    client: Client,
    token: Option<BearerToken>,
    settings: DownloadSettings,
    permits: Semaphore,
    count: Arc<TransferCount>,
    /// Bytes of all files so far, as announced or as received.
    reserved: AtomicU64,
}

/// The bytes of a request, and the version of the file that they must be of.
#[derive(Clone, Copy, Debug, Default)]
struct Range<'a> {
    bytes: Option<&'a str>,
    version: Option<&'a str>,
}

impl Downloader {
    /// Creates a downloader.
    #[must_use]
    pub fn new(client: Client, token: Option<BearerToken>, settings: DownloadSettings) -> Self {
        Self {
            client,
            token,
            permits: Semaphore::new(settings.connections),
            settings,
            count: Arc::default(),
            reserved: AtomicU64::new(0),
        }
    }

    /// The bytes of all files.
    #[must_use]
    pub fn count(&self) -> Arc<TransferCount> {
        Arc::clone(&self.count)
    }

    /// Downloads a file into the directory. A file that is there with the right checksum is left alone, and one that was
    /// begun is continued.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn file(&self, remote: &RemoteFile) -> Result<Downloaded> {
        let name = &remote.name;
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(Error::FileName { name: name.clone() });
        }
        let directory = &self.settings.directory;
        std::fs::create_dir_all(directory).map_err(Error::local("create", directory))?;
        let file = PartialFile::new(remote, directory);
        if is_complete(&file).await? {
            return Ok(Downloaded::Present);
        }
        let mut attempts = self.settings.retry.start();
        while let Err(error) = self.attempt(&file).await {
            if file.exhausted.load(Ordering::Relaxed) {
                return Err(error);
            }
            attempts.after(error).await?;
        }
        let size = finish(&file).await?;
        Ok(Downloaded::Fetched { size })
    }

    /// Sends a request for a file or a part of it.
    async fn get(&self, url: &Url, range: Range<'_>) -> Result<Response> {
        let mut request = Request::get(url);
        let mut set = |name: HeaderName, value: &str| {
            // All values are ours or came from a header.
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers.insert(name, value);
            }
        };
        // Ranges and checksums are of the file itself, not of a compressed form of it.
        set(ACCEPT_ENCODING, "identity");
        if let Some(bytes) = range.bytes {
            set(RANGE, bytes);
        }
        if let Some(version) = range.version {
            set(IF_RANGE, version);
        }
        let credentials = match &self.token {
            Some(token) => token.credentials().await?,
            None => None,
        };
        self.client
            .send(&request, credentials.as_ref(), Follow::All)
            .await
    }

    /// Waits until a further request may be under way.
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // Fails only for a closed semaphore, and this one is never closed.
        self.permits.acquire().await.ok()
    }

    /// Makes one attempt at the missing bytes.
    async fn attempt(&self, file: &PartialFile<'_>) -> Result<()> {
        file.changed.store(false, Ordering::Relaxed);
        let url = format!("sha256:{}", hex(Sha256::digest(file.remote.url.as_str())));
        if let Some(parts) = DownloadParts::load(&file.notes, &url, &file.data) {
            self.reserve(file, parts.total)?;
            return self.rest(file, parts).await;
        }
        let response = self.first(file).await?;
        let ranged = partial(&response).filter(|(first, ..)| *first == 0);
        match (response.status(), ranged, validator(response.headers())) {
            (StatusCode::OK, ..) => self.whole(file, response).await,
            (StatusCode::PARTIAL_CONTENT, Some((_, _, total)), Some(version)) => {
                self.reserve(file, total)?;
                let parts = DownloadParts::new(url, version, total, self.settings.part_bytes);
                open(&file.data)?
                    .set_len(total)
                    .map_err(Error::local("write", &file.data))?;
                parts.store(&file.notes)?;
                // This response holds the first part already.
                let parts = Mutex::new(parts);
                self.take(file, &parts, response).await?;
                self.rest(file, parts.into_inner().unwrap_or_else(PoisonError::into_inner))
                    .await
            }
            (StatusCode::PARTIAL_CONTENT, ..) => {
                // Without a validator, parts of two versions could be joined.
                let response = self.get(&file.remote.url, Range::default()).await?;
                match response.status() {
                    StatusCode::OK => self.whole(file, response).await,
                    _ => Err(file.refused(response).await),
                }
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, ..) => Err(file.is_empty()),
            _ => Err(file.refused(response).await),
        }
    }

    /// Asks for the first part, which shows whether the server has ranges.
    async fn first(&self, file: &PartialFile<'_>) -> Result<Response> {
        let span = Span {
            index: 0,
            start: 0,
            length: self.settings.part_bytes,
        };
        let range = Range {
            bytes: Some(&span.header()),
            version: None,
        };
        let _permit = self.permit().await;
        self.get(&file.remote.url, range).await
    }

    /// Fetches all missing parts, some at a time.
    async fn rest(&self, file: &PartialFile<'_>, parts: DownloadParts) -> Result<()> {
        let missing = parts.missing();
        let version = parts.validator.clone();
        let parts = Mutex::new(parts);
        self.count.expect(missing.iter().map(|span| span.length).sum());
        let fetched = futures::stream::iter(missing)
            .map(|span| self.part(file, &parts, span, &version))
            .buffer_unordered(self.settings.connections)
            .try_collect::<()>()
            .await;
        if file.changed.load(Ordering::Relaxed) {
            remove(&file.notes)?;
        }
        fetched
    }

    /// Fetches one part, with all its attempts.
    async fn part(
        &self,
        file: &PartialFile<'_>,
        parts: &Mutex<DownloadParts>,
        span: Span,
        version: &str,
    ) -> Result<()> {
        let bytes = span.header();
        let range = Range {
            bytes: Some(&bytes),
            version: Some(version),
        };
        let mut attempts = self.settings.retry.start();
        loop {
            let outcome = {
                let _permit = self.permit().await;
                match self.get(&file.remote.url, range).await {
                    Ok(response) => self.take(file, parts, response).await,
                    Err(error) => Err(error),
                }
            };
            let Err(error) = outcome else {
                return Ok(());
            };
            if file.changed.load(Ordering::Relaxed) {
                return Err(error);
            }
            if let Err(last) = attempts.after(error).await {
                file.exhausted.store(true, Ordering::Relaxed);
                return Err(last);
            }
        }
    }

    /// Writes the part that a response holds, and notes it.
    async fn take(
        &self,
        file: &PartialFile<'_>,
        parts: &Mutex<DownloadParts>,
        response: Response,
    ) -> Result<()> {
        let lock = || parts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((start, last, total)) = partial(&response) else {
            return Err(match response.status() {
                StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => file.has_changed(),
                _ => file.refused(response).await,
            });
        };
        let length = last - start + 1;
        let span = {
            let known = lock();
            known.find(start, length).filter(|_| total == known.total)
        };
        let Some(span) = span else {
            return Err(file.has_changed());
        };
        let data = Arc::new(open(&file.data)?);
        if self.write(file, response, &data, start, length).await? < length {
            return Err(file.ended_early());
        }
        let mut parts = lock();
        parts.complete(span);
        parts.store(&file.notes)
    }

    /// Writes the file in one piece, from the start.
    async fn whole(&self, file: &PartialFile<'_>, response: Response) -> Result<()> {
        remove(&file.notes)?;
        let announced = response.content_length();
        self.reserve(file, announced.unwrap_or(0))?;
        self.count.expect(announced.unwrap_or(0));
        let left = self
            .settings
            .max_bytes
            .saturating_sub(self.reserved.load(Ordering::Relaxed));
        let data = open(&file.data)?;
        data.set_len(0).map_err(Error::local("write", &file.data))?;
        let written = self
            .write(file, response, &Arc::new(data), 0, announced.unwrap_or(left))
            .await?;
        if announced.is_some_and(|announced| written < announced) {
            return Err(file.ended_early());
        }
        self.reserve(file, written)
    }

    /// Writes the body at `start`, at most `limit` bytes.
    async fn write(
        &self,
        file: &PartialFile<'_>,
        response: Response,
        data: &Arc<File>,
        start: u64,
        limit: u64,
    ) -> Result<u64> {
        let doing = file.doing();
        let mut response = response;
        let mut written = 0;
        while let Some(piece) = chunk(&doing, &mut response).await? {
            let length = piece.len() as u64;
            if length > limit - written {
                return Err(Error::OverBudget { doing, limit });
            }
            let (to, at) = (Arc::clone(data), start + written);
            let put = tokio::task::spawn_blocking(move || to.write_all_at(&piece, at)).await;
            put.map_err(|error| Error::task(&error))?
                .map_err(Error::local("write", &file.data))?;
            written += length;
            self.count.add(length);
        }
        Ok(written)
    }

    /// Counts the bytes of a file against the limit of all, in place of what was counted for it before.
    fn reserve(&self, file: &PartialFile<'_>, total: u64) -> Result<()> {
        self.reserved
            .fetch_sub(file.reserved.swap(total, Ordering::Relaxed), Ordering::Relaxed);
        let others = self.reserved.fetch_add(total, Ordering::Relaxed);
        if others.saturating_add(total) <= self.settings.max_bytes {
            return Ok(());
        }
        Err(Error::OverBudget {
            doing: file.doing(),
            limit: self.settings.max_bytes,
        })
    }
}

/// The bounds that a partial response states.
fn partial(response: &Response) -> Option<(u64, u64, u64)> {
    let is_partial = response.status() == StatusCode::PARTIAL_CONTENT;
    let header = response.headers().get(CONTENT_RANGE).filter(|_| is_partial)?;
    content_range(header.to_str().ok()?)
}

/// The validator of this version of the file. A weak one is not good enough for parts.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let strong = text(ETAG).filter(|tag| !tag.starts_with("W/") && tag.starts_with('"'));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

#[cfg(test)]
mod tests;

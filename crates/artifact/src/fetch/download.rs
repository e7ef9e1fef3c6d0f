//! One file: in parts, side by side, where the server can do that; else in one piece.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use oci_image::{Hashing, digest_of};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};

use super::job::Job;
use super::parts::{Parts, Span, content_range};
use super::request::{Requester, Wanted, validator};
use super::source::Source;
use crate::error::{Error, Result};
use crate::guard::shown;
use crate::http;
use crate::progress::{Count, bytes};
use crate::retry::Retry;

/// What all files of one command share.
#[derive(Debug)]
pub(crate) struct Fetcher {
    pub(crate) requester: Requester,
    pub(crate) directory: PathBuf,
    pub(crate) retry: Retry,
    pub(crate) part_bytes: u64,
    pub(crate) connections: usize,
    pub(crate) max_bytes: u64,
    pub(crate) count: Arc<Count>,
    /// Bytes of all files so far, as announced or as received.
    pub(crate) reserved: AtomicU64,
}

impl Fetcher {
    /// Fetches one file; gives a line about it.
    pub(crate) async fn file(&self, source: &Source) -> Result<String> {
        let job = Job::new(source, &self.directory);
        if is_there(&job).await? {
            return Ok(format!(
                "{} is there already, with the right checksum",
                source.name
            ));
        }
        let mut attempts = self.retry.begin();
        while let Err(error) = self.attempt(&job).await {
            if job.spent.load(Ordering::Relaxed) {
                return Err(error);
            }
            attempts.after(error).await?;
        }
        let size = finish(&job).await?;
        Ok(format!(
            "{} from {} ({})",
            source.name,
            shown(&source.url),
            bytes(size as f64)
        ))
    }

    /// Brings the file's bytes to completion.
    async fn attempt(&self, job: &Job<'_>) -> Result<()> {
        job.changed.store(false, Ordering::Relaxed);
        let url = digest_of(job.source.url.as_str().as_bytes())?.to_string();
        if let Some(parts) = Parts::load(&job.notes, &url, &job.data) {
            self.reserve(job, parts.total)?;
            return self.rest(job, parts).await;
        }
        let response = self.first(job).await?;
        let ranged = partial(&response).filter(|(first, ..)| *first == 0);
        match (response.status(), ranged, validator(response.headers())) {
            (StatusCode::OK, ..) => self.whole(job, response).await,
            (StatusCode::PARTIAL_CONTENT, Some((_, _, total)), Some(version)) => {
                self.reserve(job, total)?;
                let parts = Parts::new(url, version, total, self.part_bytes);
                open(&job.data)?
                    .set_len(total)
                    .map_err(Error::local("write", &job.data))?;
                parts.store(&job.notes)?;
                // This answer is not wasted; the others are asked for one by one.
                let parts = Mutex::new(parts);
                self.take(job, &parts, response).await?;
                self.rest(job, parts.into_inner().unwrap_or_else(PoisonError::into_inner))
                    .await
            }
            (StatusCode::PARTIAL_CONTENT, ..) => {
                // Parts that cannot be told to be of one version would be glued blindly.
                let response = self.requester.get(&job.source.url, Wanted::default()).await?;
                match response.status() {
                    StatusCode::OK => self.whole(job, response).await,
                    _ => Err(job.refused(response).await),
                }
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, ..) => Err(job.is_empty()),
            _ => Err(job.refused(response).await),
        }
    }

    /// Asks for the first part, which shows what the server can do.
    async fn first(&self, job: &Job<'_>) -> Result<Response> {
        let range = Span {
            index: 0,
            start: 0,
            length: self.part_bytes,
        };
        let wanted = Wanted {
            range: Some(&range.header()),
            version: None,
        };
        let _permit = self.requester.permit().await?;
        self.requester.get(&job.source.url, wanted).await
    }

    /// All parts that are missing, some at a time.
    async fn rest(&self, job: &Job<'_>, parts: Parts) -> Result<()> {
        let missing = parts.missing();
        let version = parts.validator.clone();
        let parts = Mutex::new(parts);
        self.count.expect(missing.iter().map(|span| span.length).sum());
        let fetched = futures::stream::iter(missing)
            .map(|span| self.part(job, &parts, span, &version))
            .buffer_unordered(self.connections)
            .try_collect::<()>()
            .await;
        if job.changed.load(Ordering::Relaxed) {
            remove(&job.notes)?;
        }
        fetched
    }

    /// One part, as often as it takes.
    async fn part(&self, job: &Job<'_>, parts: &Mutex<Parts>, span: Span, version: &str) -> Result<()> {
        let range = span.header();
        let wanted = Wanted {
            range: Some(&range),
            version: Some(version),
        };
        let mut attempts = self.retry.begin();
        loop {
            let outcome = {
                let _permit = self.requester.permit().await?;
                match self.requester.get(&job.source.url, wanted).await {
                    Ok(response) => self.take(job, parts, response).await,
                    Err(error) => Err(error),
                }
            };
            let Err(error) = outcome else {
                return Ok(());
            };
            if job.changed.load(Ordering::Relaxed) {
                return Err(error);
            }
            if let Err(last) = attempts.after(error).await {
                job.spent.store(true, Ordering::Relaxed);
                return Err(last);
            }
        }
    }

    /// Writes the part that an answer holds, and notes it.
    async fn take(&self, job: &Job<'_>, parts: &Mutex<Parts>, response: Response) -> Result<()> {
        let lock = || parts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((start, last, total)) = partial(&response) else {
            return Err(match response.status() {
                StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => job.has_changed(),
                _ => job.refused(response).await,
            });
        };
        let length = last - start + 1;
        let span = {
            let known = lock();
            known.find(start, length).filter(|_| total == known.total)
        };
        let Some(span) = span else {
            return Err(job.has_changed());
        };
        let file = Arc::new(open(&job.data)?);
        if self.write(job, response, &file, start, length).await? < length {
            return Err(job.broke_off());
        }
        let mut parts = lock();
        parts.complete(span);
        parts.store(&job.notes)
    }

    /// The file in one piece, from the start.
    async fn whole(&self, job: &Job<'_>, response: Response) -> Result<()> {
        remove(&job.notes)?;
        let announced = response.content_length();
        self.reserve(job, announced.unwrap_or(0))?;
        self.count.expect(announced.unwrap_or(0));
        let left = self
            .max_bytes
            .saturating_sub(self.reserved.load(Ordering::Relaxed));
        let file = open(&job.data)?;
        file.set_len(0).map_err(Error::local("write", &job.data))?;
        let written = self
            .write(job, response, &Arc::new(file), 0, announced.unwrap_or(left))
            .await?;
        if announced.is_some_and(|announced| written < announced) {
            return Err(job.broke_off());
        }
        self.reserve(job, written)
    }

    /// Writes the body at `start`; more than `limit` bytes are an error.
    async fn write(
        &self,
        job: &Job<'_>,
        response: Response,
        file: &Arc<File>,
        start: u64,
        limit: u64,
    ) -> Result<u64> {
        let doing = job.doing();
        let mut response = response;
        let mut written = 0;
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| http::failure(&doing, &error))?
        {
            let length = piece.len() as u64;
            if length > limit - written {
                return Err(Error::TooMuch(format!(
                    "cannot {doing}: it has more bytes than are allowed (--max-bytes)"
                )));
            }
            let (to, at) = (Arc::clone(file), start + written);
            let put = tokio::task::spawn_blocking(move || to.write_all_at(&piece, at)).await;
            put.map_err(|error| Error::task(&error))?
                .map_err(Error::local("write", &job.data))?;
            written += length;
            self.count.add(length);
        }
        Ok(written)
    }

    /// Counts the bytes of a file against the limit of all, in place of what was counted for it before.
    fn reserve(&self, job: &Job<'_>, total: u64) -> Result<()> {
        self.reserved
            .fetch_sub(job.held.swap(total, Ordering::Relaxed), Ordering::Relaxed);
        let others = self.reserved.fetch_add(total, Ordering::Relaxed);
        if others.saturating_add(total) <= self.max_bytes {
            return Ok(());
        }
        Err(Error::TooMuch(format!(
            "the files have more than the {} that are allowed (--max-bytes)",
            bytes(self.max_bytes as f64)
        )))
    }
}

/// Checks the complete file and gives it its name; its size in bytes.
async fn finish(job: &Job<'_>) -> Result<u64> {
    let size = std::fs::metadata(&job.data)
        .map_err(Error::local("look at", &job.data))?
        .len();
    if size == 0 {
        remove(&job.data)?;
        return Err(job.is_empty());
    }
    if let Some(expected) = &job.source.sha256 {
        let actual = sha256(&job.data).await?;
        if actual != *expected {
            remove(&job.notes)?;
            remove(&job.data)?;
            return Err(Error::Corrupt(format!(
                "{} has the SHA-256 {actual}, not {expected}: the file changed or was tampered with",
                shown(&job.source.url)
            )));
        }
    }
    std::fs::rename(&job.data, &job.done).map_err(Error::local("rename", &job.data))?;
    remove(&job.notes)?;
    Ok(size)
}

/// The file is complete from an earlier run, which only a checksum can tell.
async fn is_there(job: &Job<'_>) -> Result<bool> {
    match &job.source.sha256 {
        Some(expected) if job.done.is_file() => Ok(sha256(&job.done).await? == *expected),
        _ => Ok(false),
    }
}

async fn sha256(path: &Path) -> Result<String> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let file = File::open(&path).map_err(Error::local("open", &path))?;
        let mut hashing = Hashing::new(file);
        std::io::copy(&mut hashing, &mut std::io::sink()).map_err(Error::local("read", &path))?;
        Ok(hashing.finish()?.1.digest().to_owned())
    });
    hashed.await.map_err(|error| Error::task(&error))?
}

/// What an answer with a part says it holds.
fn partial(response: &Response) -> Option<(u64, u64, u64)> {
    let is_partial = response.status() == StatusCode::PARTIAL_CONTENT;
    let header = response.headers().get(CONTENT_RANGE).filter(|_| is_partial)?;
    content_range(header.to_str().ok()?)
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(Error::local("write", path))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::local("remove", path)(error))
        }
        _ => Ok(()),
    }
}

//! Blobs: streamed, resumed after a broken connection, checked by size and digest.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use egress::{Request, TransferCount, chunk};
use oci_image::{Descriptor, Hashing};
use reqwest::header::RANGE;
use reqwest::{Method, Response, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::Sender;

use super::client::{Registry, refusal, with_header};
use crate::error::{Error, Result};

/// Bytes of a file that are read at once.
const PIECE: usize = 256 << 10;

/// A blob on its way.
struct Transfer<'a> {
    doing: String,
    descriptor: &'a Descriptor,
    hashing: Hashing<()>,
    sink: &'a Sender<Bytes>,
    /// File with the bytes so far.
    kept: Option<File>,
    count: &'a TransferCount,
}

impl Registry {
    /// Sends the blob's bytes to `sink`, in order. The receiver must not use them before this returns true. Returns false if the
    /// receiver is gone. With a file, its bytes come first, and what arrives is added to it.
    ///
    /// # Errors
    /// The blob cannot be read, or differs from its descriptor.
    pub(crate) async fn blob(
        &mut self,
        descriptor: &Descriptor,
        (sink, file): (Sender<Bytes>, Option<PathBuf>),
        count: &TransferCount,
    ) -> Result<bool> {
        if descriptor.digest().algorithm().as_ref() != "sha256" {
            return Err(Error::Payload {
                payload: descriptor.digest().to_string(),
                problem: "has no SHA-256 digest, which alone is supported".to_owned(),
            });
        }
        let mut transfer = Transfer {
            doing: format!("read {} of {}", short(descriptor), self.target.reference),
            descriptor,
            hashing: Hashing::new(()),
            sink: &sink,
            kept: None,
            count,
        };
        if let Some(path) = &file
            && !transfer.replay(path).await?
        {
            return Ok(false);
        }
        let mut attempts = self.retry.start();
        while transfer.hashing.passed() < descriptor.size() {
            let before = transfer.hashing.passed();
            match self.rest_of(&mut transfer).await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => {
                    if transfer.hashing.passed() > before {
                        attempts.reset();
                    }
                    attempts.after(error).await?;
                }
            }
        }
        let verified = transfer.verify();
        if let (Err(_), Some(path)) = (&verified, &file) {
            // The next attempt must not begin with these bytes.
            std::fs::remove_file(path).map_err(Error::local("remove", path))?;
        }
        verified.map(|()| true)
    }

    /// Requests the missing bytes. Returns false if the receiver is gone.
    async fn rest_of(&mut self, transfer: &mut Transfer<'_>) -> Result<bool> {
        let start = transfer.hashing.passed();
        let url = self.url(&format!("blobs/{}", transfer.descriptor.digest()))?;
        let mut request = Request::new(&transfer.doing, Method::GET, url);
        if start > 0 {
            request = with_header(request, RANGE, &format!("bytes={start}-"));
        }
        let response = self.once(&request).await?;
        let skip = match response.status() {
            StatusCode::OK => start,
            StatusCode::PARTIAL_CONTENT if start > 0 => 0,
            _ => return Err(refusal(&transfer.doing, response).await),
        };
        transfer.take(response, skip).await
    }
}

impl Transfer<'_> {
    /// Sends the bytes of the file, and opens it to add others. Returns false if the receiver is gone.
    async fn replay(&mut self, path: &Path) -> Result<bool> {
        let open = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .await;
        let mut file = open.map_err(Error::local("open", path))?;
        let failed = || Error::local("read", path);
        let length = file.metadata().await.map_err(failed())?.len();
        if length > self.descriptor.size() {
            file.set_len(0).await.map_err(failed())?;
        }
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            if file.read_buf(&mut piece).await.map_err(failed())? == 0 {
                break;
            }
            let piece = piece.freeze();
            self.hashing.update(&piece);
            self.count.add(piece.len() as u64);
            if self.sink.send(piece).await.is_err() {
                return Ok(false);
            }
        }
        self.kept = Some(file);
        Ok(true)
    }

    /// Sends the body without its first `skip` bytes.
    async fn take(&mut self, response: Response, skip: u64) -> Result<bool> {
        let mut response = response;
        let mut skip = skip;
        while let Some(mut piece) = chunk(&self.doing, &mut response).await? {
            let known = skip.min(piece.len() as u64);
            skip -= known;
            let piece = piece.split_off(usize::try_from(known).unwrap_or(usize::MAX).min(piece.len()));
            if self.hashing.passed() + piece.len() as u64 > self.descriptor.size() {
                return Err(Error::Corrupt {
                    doing: self.doing.clone(),
                    problem: "it is longer than announced".to_owned(),
                });
            }
            if let Some(file) = &mut self.kept {
                file.write_all(&piece)
                    .await
                    .map_err(Error::local("write", Path::new("a part of the image")))?;
            }
            self.hashing.update(&piece);
            self.count.add(piece.len() as u64);
            if !piece.is_empty() && self.sink.send(piece).await.is_err() {
                return Ok(false);
            }
        }
        if self.hashing.passed() < self.descriptor.size() {
            return Err(self.ended_early());
        }
        Ok(true)
    }

    fn ended_early(&self) -> Error {
        Error::Egress(egress::Error::EndedEarly {
            doing: self.doing.clone(),
        })
    }

    fn verify(self) -> Result<()> {
        let (_, digest, _) = self.hashing.finish()?;
        if digest == *self.descriptor.digest() {
            return Ok(());
        }
        Err(Error::Corrupt {
            doing: self.doing,
            problem: format!("the bytes have the digest {digest}"),
        })
    }
}

fn short(descriptor: &Descriptor) -> String {
    let digest = descriptor.digest().digest();
    format!("blob {}…", digest.get(..12).unwrap_or(digest))
}

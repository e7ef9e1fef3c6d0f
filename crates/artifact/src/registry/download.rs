//! Blobs: streamed, gone on with where a connection broke, checked by size and digest.

use bytes::Bytes;
use oci_image::{Descriptor, Hashing};
use reqwest::header::RANGE;
use reqwest::{Method, Response, StatusCode};
use tokio::sync::mpsc::Sender;

use super::client::{Call, Registry, refusal};
use crate::error::{Error, Result};
use crate::http;
use crate::progress::Count;

/// A blob on its way.
struct Transfer<'a> {
    doing: String,
    descriptor: &'a Descriptor,
    hashing: Hashing<()>,
    sink: &'a Sender<Bytes>,
    count: &'a Count,
}

impl Registry {
    /// Sends the blob's bytes to `sink`, in order. What the receiver made of them is good only if this is true in
    /// the end; it is false when the receiver went away before.
    ///
    /// # Errors
    /// When the blob cannot be read, or is not what its descriptor says.
    pub(crate) async fn blob(
        &mut self,
        descriptor: &Descriptor,
        sink: Sender<Bytes>,
        count: &Count,
    ) -> Result<bool> {
        if descriptor.digest().algorithm().as_ref() != "sha256" {
            return Err(Error::Refused(format!(
                "{}: only SHA-256 digests are supported",
                descriptor.digest()
            )));
        }
        let mut transfer = Transfer {
            doing: format!("read {} of {}", short(descriptor), self.target.reference),
            descriptor,
            hashing: Hashing::new(()),
            sink: &sink,
            count,
        };
        let mut attempts = self.retry.begin();
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
        transfer.verdict()?;
        Ok(true)
    }

    /// One request for what is missing; false when the receiver is gone.
    async fn rest_of(&mut self, transfer: &mut Transfer<'_>) -> Result<bool> {
        let start = transfer.hashing.passed();
        let url = self.url(&format!("blobs/{}", transfer.descriptor.digest()))?;
        let mut call = Call::new(&transfer.doing, Method::GET, url);
        if start > 0 {
            call = call.header(RANGE, &format!("bytes={start}-"));
        }
        let response = self.once(&call).await?;
        let skip = match response.status() {
            StatusCode::OK => start,
            StatusCode::PARTIAL_CONTENT if start > 0 => 0,
            _ => return Err(refusal(&transfer.doing, response).await),
        };
        transfer.take(response, skip).await
    }
}

impl Transfer<'_> {
    /// Passes on the body, but for its first `skip` bytes.
    async fn take(&mut self, response: Response, skip: u64) -> Result<bool> {
        let mut response = response;
        let mut skip = skip;
        while let Some(mut piece) = response
            .chunk()
            .await
            .map_err(|error| http::failure(&self.doing, &error))?
        {
            let known = skip.min(piece.len() as u64);
            skip -= known;
            let piece = piece.split_off(usize::try_from(known).unwrap_or(usize::MAX).min(piece.len()));
            if self.hashing.passed() + piece.len() as u64 > self.descriptor.size() {
                return Err(Error::Corrupt(format!(
                    "cannot {}: it is longer than announced",
                    self.doing
                )));
            }
            self.hashing.update(&piece);
            self.count.add(piece.len() as u64);
            if !piece.is_empty() && self.sink.send(piece).await.is_err() {
                return Ok(false);
            }
        }
        if self.hashing.passed() < self.descriptor.size() {
            return Err(Error::unavailable(format!(
                "cannot {}: the answer broke off",
                self.doing
            )));
        }
        Ok(true)
    }

    fn verdict(self) -> Result<()> {
        let (_, digest, _) = self.hashing.finish()?;
        if digest == *self.descriptor.digest() {
            return Ok(());
        }
        Err(Error::Corrupt(format!(
            "cannot {}: the bytes have the digest {digest}",
            self.doing
        )))
    }
}

fn short(descriptor: &Descriptor) -> String {
    let digest = descriptor.digest().digest();
    format!("blob {}…", digest.get(..12).unwrap_or(digest))
}

//! SHA-256 of the bytes that pass through a reader or a writer.

use std::io::{self, Read, Write};

use oci_spec::image::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::Result;

/// Counts and hashes the bytes that pass.
#[derive(Clone, Debug)]
pub struct Hashing<T> {
    inner: T,
    state: Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    /// Starts with nothing hashed.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            state: Sha256::new(),
            bytes: 0,
        }
    }

    /// Hashes bytes that pass elsewhere.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    /// Bytes so far.
    pub fn passed(&self) -> u64 {
        self.bytes
    }

    /// Returns the inner value, the digest and the number of bytes.
    ///
    /// # Errors
    /// The specification's type refuses a digest of SHA-256, which it does not.
    pub fn finish(self) -> Result<(T, Digest, u64)> {
        let digest = format!("sha256:{}", hex(&self.state.finalize()));
        Ok((self.inner, Digest::try_from(digest)?, self.bytes))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(bytes) = buffer.get(..read) {
            self.update(bytes);
        }
        Ok(read)
    }
}

/// The digest of these bytes.
///
/// # Errors
/// As [`Hashing::finish`].
pub fn digest_of(bytes: &[u8]) -> Result<Digest> {
    let mut hashing = Hashing::new(());
    hashing.update(bytes);
    Ok(hashing.finish()?.1)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_of(b"abc").unwrap().as_ref(), abc);
        let mut reader = Hashing::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        let (_, digest, bytes) = reader.finish().unwrap();
        assert_eq!((digest.as_ref(), bytes), (abc, 3));
    }
}

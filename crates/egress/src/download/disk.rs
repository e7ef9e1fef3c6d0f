//! The files of a download on disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::partial::PartialFile;
use crate::error::{Error, Result};
use crate::policy::without_secrets;

/// Checks the complete file, gives it its name, and returns its size in bytes.
pub(super) async fn finish(file: &PartialFile<'_>) -> Result<u64> {
    let size = std::fs::metadata(&file.data)
        .map_err(Error::local("look at", &file.data))?
        .len();
    if size == 0 {
        remove(&file.data)?;
        return Err(file.is_empty());
    }
    if let Some(expected) = &file.remote.sha256 {
        let actual = sha256(&file.data).await?;
        if actual != *expected {
            remove(&file.notes)?;
            remove(&file.data)?;
            return Err(Error::Checksum {
                url: without_secrets(&file.remote.url),
                expected: expected.clone(),
                actual,
            });
        }
    }
    std::fs::rename(&file.data, &file.done).map_err(Error::local("rename", &file.data))?;
    remove(&file.notes)?;
    Ok(size)
}

/// Reports whether the file is complete from an earlier run, which only a checksum shows.
pub(super) async fn is_complete(file: &PartialFile<'_>) -> Result<bool> {
    match &file.remote.sha256 {
        Some(expected) if file.done.is_file() => Ok(sha256(&file.done).await? == *expected),
        _ => Ok(false),
    }
}

async fn sha256(path: &Path) -> Result<String> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut file = File::open(&path).map_err(Error::local("open", &path))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut buffer).map_err(Error::local("read", &path))?;
            if read == 0 {
                return Ok(hex(hash.finalize()));
            }
            hash.update(buffer.get(..read).unwrap_or_default());
        }
    });
    hashed.await.map_err(|error| Error::task(&error))?
}

/// The bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: impl AsRef<[u8]>) -> String {
    use std::fmt::Write as _;
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Opens a file for writing at any place, and creates it if needed.
pub(super) fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(Error::local("write", path))
}

/// Removes a file that may not exist.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::local("remove", path)(error)),
        _ => Ok(()),
    }
}

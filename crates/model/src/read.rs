//! Reading of small files, with a limit on their size.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Reads a file of at most `limit` bytes.
pub(crate) fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut out = Vec::new();
    file.take(limit + 1).read_to_end(&mut out).map_err(failed)?;
    if out.len() as u64 > limit {
        return Err(Error::file(path, format!("must have at most {limit} bytes")));
    }
    Ok(out)
}

/// Reads a JSON file of at most `limit` bytes.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<T> {
    serde_json::from_slice(&bytes(path, limit)?)
        .map_err(|error| Error::file(path, format!("unexpected JSON: {error}")))
}

//! One file on its way: its places on disk, and what went wrong so far.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Response;
use url::Url;

use crate::client::status_error;
use crate::error::Error;
use crate::policy::without_secrets;

/// A file of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// The URL.
    pub url: Url,
    /// Its name in the directory: a plain one, without a path.
    pub name: String,
    /// Lower-case SHA-256 that it must have, if known.
    pub sha256: Option<String>,
}

/// One file on its way.
#[derive(Debug)]
pub(super) struct PartialFile<'a> {
    pub(super) remote: &'a RemoteFile,
    /// The bytes so far.
    pub(super) data: PathBuf,
    /// Notes about the bytes so far, for a restart.
    pub(super) notes: PathBuf,
    /// The path of the complete file.
    pub(super) done: PathBuf,
    /// Its share of the bytes of all files.
    pub(super) reserved: AtomicU64,
    /// The server has another version than the one that was begun.
    pub(super) changed: AtomicBool,
    /// A part has no attempt left.
    pub(super) exhausted: AtomicBool,
}

impl<'a> PartialFile<'a> {
    pub(super) fn new(remote: &'a RemoteFile, directory: &Path) -> Self {
        let hidden = |ending: &str| directory.join(format!(".{}{ending}", remote.name));
        Self {
            remote,
            data: hidden(".partial"),
            notes: hidden(".partial.json"),
            done: directory.join(&remote.name),
            reserved: AtomicU64::new(0),
            changed: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
        }
    }

    pub(super) fn url(&self) -> String {
        without_secrets(&self.remote.url)
    }

    pub(super) fn doing(&self) -> String {
        format!("fetch {}", self.url())
    }

    pub(super) fn has_changed(&self) -> Error {
        self.changed.store(true, Ordering::Relaxed);
        Error::Changed { url: self.url() }
    }

    pub(super) fn ended_early(&self) -> Error {
        Error::EndedEarly { doing: self.doing() }
    }

    pub(super) fn is_empty(&self) -> Error {
        Error::Empty { url: self.url() }
    }

    pub(super) async fn refused(&self, response: Response) -> Error {
        let words = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        status_error(&self.doing(), response, words).await
    }
}

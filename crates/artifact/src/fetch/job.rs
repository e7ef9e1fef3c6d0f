//! One file on its way: its places, and what went wrong so far.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Response;

use super::source::Source;
use crate::error::Error;
use crate::guard::shown;
use crate::http;

/// One file on its way.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) source: &'a Source,
    /// The bytes so far.
    pub(super) data: PathBuf,
    /// What is known of them.
    pub(super) notes: PathBuf,
    /// Where they go in the end.
    pub(super) done: PathBuf,
    /// Its share of [`Fetcher::reserved`].
    pub(super) held: AtomicU64,
    /// The server has another version than the one that was begun.
    pub(super) changed: AtomicBool,
    /// A part failed as often as it may.
    pub(super) spent: AtomicBool,
}

impl<'a> Job<'a> {
    pub(super) fn new(source: &'a Source, directory: &Path) -> Self {
        let hidden = |ending: &str| directory.join(format!(".{}{ending}", source.name));
        Self {
            source,
            data: hidden(".partial"),
            notes: hidden(".partial.json"),
            done: directory.join(&source.name),
            held: AtomicU64::new(0),
            changed: AtomicBool::new(false),
            spent: AtomicBool::new(false),
        }
    }

    pub(super) fn doing(&self) -> String {
        format!("fetch {}", shown(&self.source.url))
    }

    pub(super) fn has_changed(&self) -> Error {
        self.changed.store(true, Ordering::Relaxed);
        Error::unavailable(format!(
            "{} changed while it was fetched",
            shown(&self.source.url)
        ))
    }

    pub(super) fn broke_off(&self) -> Error {
        Error::unavailable(format!("cannot {}: the answer broke off", self.doing()))
    }

    pub(super) fn is_empty(&self) -> Error {
        Error::NotFound(format!("{} is empty", shown(&self.source.url)))
    }

    pub(super) async fn refused(&self, response: Response) -> Error {
        let (code, headers) = (response.status(), response.headers().clone());
        let said = http::body(&self.doing(), response, 2048)
            .await
            .unwrap_or_default();
        http::status(&self.doing(), code, &headers, &String::from_utf8_lossy(&said))
    }
}

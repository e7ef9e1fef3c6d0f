//! A file as parts that are fetched one by one, and the notes about them for a restart.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Notes about a download, written beside it, so that a restarted container continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DownloadParts {
    /// Digest of the URL, which itself may hold secrets.
    url: String,
    /// The server's validator of this version: a strong `ETag`, or `Last-Modified`.
    pub(crate) validator: String,
    /// Bytes of the file.
    pub(crate) total: u64,
    /// Bytes of a part. The last one may be shorter.
    size: u64,
    /// Indexes of the complete parts.
    done: BTreeSet<u64>,
}

/// Bytes of a file: the first one and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) index: u64,
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl Span {
    /// The value of a `Range` header.
    pub(crate) fn header(&self) -> String {
        format!(
            "bytes={}-{}",
            self.start,
            self.start.saturating_add(self.length).saturating_sub(1)
        )
    }
}

impl DownloadParts {
    pub(crate) fn new(url: String, validator: String, total: u64, size: u64) -> Self {
        Self {
            url,
            validator,
            total,
            size: size.max(1),
            done: BTreeSet::new(),
        }
    }

    /// The parts that are not complete.
    pub(crate) fn missing(&self) -> Vec<Span> {
        let count = self.total.div_ceil(self.size);
        (0..count)
            .filter(|index| !self.done.contains(index))
            .map(|index| self.span(index))
            .collect()
    }

    /// The part with these bounds; `None` if there is none.
    pub(crate) fn find(&self, start: u64, length: u64) -> Option<Span> {
        let span = self.span(start / self.size);
        (span.start == start && span.length == length && length > 0).then_some(span)
    }

    pub(crate) fn complete(&mut self, span: Span) {
        self.done.insert(span.index);
    }

    fn span(&self, index: u64) -> Span {
        let start = index.saturating_mul(self.size);
        Span {
            index,
            start,
            length: self.size.min(self.total.saturating_sub(start)),
        }
    }

    /// Reads the notes about the download of this URL; `None` if there are no usable ones.
    pub(crate) fn load(path: &Path, url: &str, data: &Path) -> Option<Self> {
        let text = std::fs::read(path).ok()?;
        let parts: Self = serde_json::from_slice(&text).ok()?;
        let on_disk = std::fs::symlink_metadata(data).ok()?;
        let fits = parts.url == url && parts.size > 0 && on_disk.is_file() && on_disk.len() == parts.total;
        fits.then_some(parts)
    }

    /// Writes the notes in one step.
    ///
    /// # Errors
    /// The file system fails.
    pub(crate) fn store(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|error| Error::Local {
            doing: format!("write {}", path.display()),
            source: error.into(),
        })?;
        let beside = PathBuf::from(format!("{}.new", path.display()));
        std::fs::write(&beside, text).map_err(Error::local("write", &beside))?;
        std::fs::rename(&beside, path).map_err(Error::local("write", path))
    }
}

/// The first byte, the last byte and the total of a response with status 206.
pub(crate) fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (first.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
    (first <= last && last < total).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(total: u64, size: u64) -> DownloadParts {
        DownloadParts::new("url".to_owned(), "mark".to_owned(), total, size)
    }

    proptest! {
        #[test]
        fn parts_cover_the_file_once(total in 0..5000u64, size in 1..700u64) {
            let mut at = 0;
            for span in parts(total, size).missing() {
                prop_assert_eq!(span.start, at);
                prop_assert_eq!(parts(total, size).find(span.start, span.length), Some(span));
                prop_assert_eq!(parts(total, size).find(span.start, span.length + 1), None);
                at += span.length;
            }
            prop_assert_eq!(at, total);
        }
    }

    #[test]
    fn what_is_done_is_not_fetched_again() {
        let scratch = tempfile::tempdir().unwrap();
        let (state, data) = (scratch.path().join("state"), scratch.path().join("data"));
        let mut parts = parts(10, 4);
        for span in parts.missing().into_iter().skip(1) {
            parts.complete(span);
            parts.complete(span);
        }
        assert_eq!(
            parts.missing(),
            [Span {
                index: 0,
                start: 0,
                length: 4
            }]
        );
        assert_eq!(parts.missing()[0].header(), "bytes=0-3");
        parts.store(&state).unwrap();
        assert_eq!(
            DownloadParts::load(&state, "url", &data),
            None,
            "there is no data"
        );
        std::fs::write(&data, [0; 10]).unwrap();
        assert_eq!(DownloadParts::load(&state, "url", &data), Some(parts));
        assert_eq!(DownloadParts::load(&state, "other", &data), None);
        std::fs::write(&data, [0; 9]).unwrap();
        assert_eq!(DownloadParts::load(&state, "url", &data), None);
    }

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 0-3/10"), Some((0, 3, 10)));
        for bad in [
            "bytes 0-3/*",
            "bytes */0",
            "bytes 3-0/10",
            "bytes 0-10/10",
            "items 0-3/10",
            "",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}

//! Waits until the files of a tuning show that it is done or failed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, NoResult, Result};
use crate::progress::say;

/// Pause between looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// The file that the tuning writes beside its result when it fails.
const FAILURE: &str = "fine_tuning_failed.txt";
/// Bytes of the reason in that file.
const REASON_BYTES: usize = 1000;

/// The files that end the wait.
#[derive(Clone, Debug)]
pub(crate) struct Markers {
    /// Exists when the result is complete.
    pub(crate) done: PathBuf,
    /// Exists when the tuning failed.
    pub(crate) failed: PathBuf,
}

impl Markers {
    /// Creates markers. Without `failed`, the marker of failure is beside `done`.
    pub(crate) fn new(done: &Path, failed: Option<&Path>) -> Self {
        Self {
            done: done.to_owned(),
            failed: failed.map_or_else(|| done.with_file_name(FAILURE), Path::to_owned),
        }
    }

    /// Returns when the result is complete.
    ///
    /// # Errors
    /// The tuning failed.
    pub(crate) async fn wait(&self) -> Result<()> {
        if !self.done.is_file() {
            say(&format!("waiting for {}", self.done.display()));
        }
        loop {
            // Checked first: a repeated tuning may have left the other marker behind.
            if self.done.is_file() {
                return Ok(());
            }
            if self.failed.is_file() {
                return Err(self.failure());
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn failure(&self) -> Error {
        use std::io::Read as _;
        let mut reason = Vec::new();
        if let Ok(file) = std::fs::File::open(&self.failed) {
            // An unreadable reason counts as none.
            let _ = file.take(REASON_BYTES as u64).read_to_end(&mut reason);
        }
        let reason = String::from_utf8_lossy(&reason);
        let reason = reason.lines().next().unwrap_or_default().trim();
        Error::NoResult(NoResult::TuningFailed {
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_marks_are_told_apart() {
        let scratch = tempfile::tempdir().unwrap();
        let markers = Markers::new(&scratch.path().join("fine_tuning_completed.txt"), None);
        assert_eq!(markers.failed, scratch.path().join("fine_tuning_failed.txt"));
        std::fs::write(&markers.failed, "out of memory\ntrace").unwrap();
        let error = markers.wait().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "nothing is pushed: the tuning failed: out of memory"
        );
        std::fs::write(&markers.done, "").unwrap();
        markers.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_mark_that_appears_later_is_seen() {
        let scratch = tempfile::tempdir().unwrap();
        let done = scratch.path().join("done");
        let markers = Markers::new(&done, Some(&scratch.path().join("no")));
        let waiting = tokio::spawn(async move { markers.wait().await });
        tokio::task::yield_now().await;
        std::fs::write(&done, "").unwrap();
        waiting.await.unwrap().unwrap();
    }
}

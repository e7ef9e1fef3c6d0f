//! The outcome of a push, in a file that another container of the pod reads.
//!
//! A sidecar pushes: the kubelet starts it again, with a pause that grows to five minutes, until the pod ends. Another container
//! waits for the outcome and ends the pod. So a failed push repeats nothing but itself.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::args::{AwaitPush, Common};
use crate::error::{Error, Result};
use crate::progress::say;

/// Pause between looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// Shortest life of a sidecar. A kubelet looks at containers every second, and starts those after a sidecar once it has seen it
/// run. A sidecar that fails at once would keep them from starting.
const SHORTEST: Duration = Duration::from_secs(10);

/// The outcome of the last attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PushOutcome {
    /// The image by digest.
    Pushed(String),
    /// The failure.
    Failed {
        /// The sentence.
        error: String,
        /// The exit status.
        code: u8,
        /// Another attempt may succeed.
        repairable: bool,
    },
}

impl PushOutcome {
    /// The outcome in the file; `None` if there is none yet.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub(crate) fn load(file: &Path) -> Result<Option<Self>> {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::local("read", file)(error)),
        };
        let parsed = serde_json::from_slice(&bytes).map_err(std::io::Error::from);
        parsed.map(Some).map_err(Error::local("parse", file))
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn store(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let new = file.with_extension("new");
        std::fs::write(&new, text).map_err(Error::local("write", &new))?;
        std::fs::rename(&new, file).map_err(Error::local("write", file))
    }

    fn of(result: &Result<String>) -> Self {
        match result {
            Ok(image) => Self::Pushed(image.clone()),
            Err(error) => Self::Failed {
                error: error.sentence(),
                code: error.exit_code(),
                repairable: error.may_be_repaired(),
            },
        }
    }
}

/// Pushes unless an earlier attempt has, stores the outcome, and returns it after a while.
///
/// # Errors
/// Those of the push.
pub(crate) async fn stored(file: &Path, push: impl Future<Output = Result<String>>) -> Result<String> {
    let began = Instant::now();
    if let Some(PushOutcome::Pushed(image)) = PushOutcome::load(file)? {
        tokio::time::sleep(SHORTEST).await;
        return Ok(image);
    }
    let result = push.await;
    PushOutcome::of(&result).store(file)?;
    tokio::time::sleep(SHORTEST.saturating_sub(began.elapsed())).await;
    result
}

/// Waits for the outcome of a push. Returns the image by digest.
///
/// # Errors
/// The push failed for good, or for too long.
pub(crate) async fn wait(args: &AwaitPush, common: &Common) -> Result<String> {
    let began = Instant::now();
    let mut shown = None;
    loop {
        let outcome = PushOutcome::load(&args.outcome)?;
        let is_late = began.elapsed() >= common.timeout;
        match &outcome {
            Some(PushOutcome::Pushed(image)) => return Ok(image.clone()),
            Some(PushOutcome::Failed {
                error,
                code,
                repairable,
            }) if is_late || !repairable => {
                return Err(Error::NotPushed {
                    within: repairable.then_some(common.timeout),
                    error: error.clone(),
                    code: *code,
                });
            }
            None if is_late => return Err(Error::Deadline(common.timeout)),
            _ => {}
        }
        if outcome != shown {
            if let Some(PushOutcome::Failed { error, .. }) = &outcome {
                let left = common.timeout.saturating_sub(began.elapsed()).as_secs();
                say(&format!("the push is tried again for {left} s: {error}"));
            }
            shown = outcome;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

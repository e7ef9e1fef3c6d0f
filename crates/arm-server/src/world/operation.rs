//! Long-running operations and their documents.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::EndTime;
use crate::envelope::ArmError;

/// Status of an operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum OperationProgress {
    Running,
    Succeeded,
    Failed(ArmError),
    Canceled(ArmError),
}

/// An operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) progress: OperationProgress,
    pub(super) started: Duration,
    pub(super) ended: Option<Duration>,
    /// Opaque part of its URL, which the client must send unchanged.
    pub(super) seal: String,
}

/// Peculiarities of documents, all of which were recorded.
pub(super) struct DocumentStyle<'a> {
    /// Status of a running operation.
    pub(super) running: &'a str,
    /// Error that is shown although the operation has not failed.
    pub(super) early_error: Option<&'a ArmError>,
    pub(super) end_time: EndTime,
}

impl Operation {
    /// The document; `epoch` is the wall-clock time at the start of the server.
    pub(super) fn document(&self, id: &str, epoch: Timestamp, style: &DocumentStyle<'_>) -> Value {
        let (status, error) = match &self.progress {
            OperationProgress::Running => (style.running, style.early_error.map(ArmError::inner)),
            OperationProgress::Succeeded => ("Succeeded", style.early_error.map(ArmError::inner)),
            OperationProgress::Failed(error) => ("Failed", Some(error.inner())),
            OperationProgress::Canceled(error) => ("Canceled", Some(error.inner())),
        };
        let mut document = json!({"name": id, "status": status, "startTime": wall(epoch, self.started)});
        let shown = match style.end_time {
            EndTime::WhenEnded => self.ended,
            EndTime::Early => self.ended.or(Some(self.started)),
            EndTime::Never => None,
        };
        if let Some(ended) = shown {
            document["endTime"] = json!(wall(epoch, ended));
        }
        if let Some(error) = error {
            document["error"] = error;
        }
        document
    }
}

fn wall(epoch: Timestamp, at: Duration) -> String {
    (epoch + at).to_string()
}

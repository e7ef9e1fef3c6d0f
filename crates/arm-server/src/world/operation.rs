//! Long-running operations and their documents.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

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

impl Operation {
    /// The document; `epoch` is the wall-clock time at the start of the server.
    pub(super) fn document(&self, id: &str, epoch: Timestamp, running: &str) -> Value {
        let (status, error) = match &self.progress {
            OperationProgress::Running => (running, None),
            OperationProgress::Succeeded => ("Succeeded", None),
            OperationProgress::Failed(error) => ("Failed", Some(error.inner())),
            OperationProgress::Canceled(error) => ("Canceled", Some(error.inner())),
        };
        let mut document = json!({"name": id, "status": status, "startTime": wall(epoch, self.started)});
        if let Some(ended) = self.ended {
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

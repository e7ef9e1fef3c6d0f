//! The parts of a report.

use jiff::Timestamp;
use serde::Serialize;

use super::facts::ReleaseLine;

/// One finding: a sentence and a remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Diagnosis {
    /// Kind of the finding, as one word.
    pub(super) kind: &'static str,
    /// Kind and name of the object.
    pub(super) subject: String,
    pub(super) message: String,
    pub(super) remedy: String,
    /// List price of the nodes that it is about; absent if there are none, or it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usd_micros_per_hour: Option<u64>,
    /// Seconds for which it lasts, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<i64>,
}

impl Diagnosis {
    pub(super) fn new(kind: &'static str, subject: String, message: String, remedy: &str) -> Self {
        Self {
            kind,
            subject,
            message,
            remedy: remedy.to_owned(),
            usd_micros_per_hour: None,
            seconds: None,
        }
    }

    pub(super) fn costing(self, usd_micros_per_hour: Option<u64>) -> Self {
        Self {
            usd_micros_per_hour,
            ..self
        }
    }

    pub(super) fn since(self, since: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            seconds: since.map(|since| now.duration_since(since).as_secs().max(0)),
            ..self
        }
    }
}

/// Something that was looked at and is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckLine {
    pub(super) check: &'static str,
    pub(super) result: String,
}

/// Nodes of one use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeUse {
    pub(super) usage: &'static str,
    pub(super) count: u32,
    pub(super) usd_micros_per_hour: u64,
}

/// Report about one cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DoctorReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<ReleaseLine>,
    pub(super) plugin_version: &'static str,
    pub(super) checks: Vec<CheckLine>,
    pub(super) nodes: Vec<NodeUse>,
    /// Findings, the most expensive first.
    pub(super) findings: Vec<Diagnosis>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

impl DoctorReport {
    /// Takes out the findings of these kinds, and notes how many they were.
    pub(super) fn leave_out(&mut self, kinds: &[String]) {
        for kind in kinds {
            let all = self.findings.len();
            self.findings.retain(|finding| finding.kind != kind);
            let count = all - self.findings.len();
            if count > 0 {
                self.notes.push(format!(
                    "{count} findings of kind {kind} are left out, as --skip says."
                ));
            }
        }
    }
}

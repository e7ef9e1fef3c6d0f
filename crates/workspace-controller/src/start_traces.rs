//! A trace of each Workspace's first start, from `kubectl apply` to the first answer.
//!
//! `status.coldStart` records each step once, so the trace follows from the object alone. Its id is the UID, and each span has an id
//! of its own step. So a controller that starts anew, or another leader, sends spans with the same ids again. Nothing is
//! read, written or waited for. Without a receiver of traces there is nothing to do.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use kaito_api::Workspace;
use kaito_api::workspace_status::{ColdStart, ColdStartStep};
use operator_runtime::Change;
use telemetry::{FinishedSpan, SpanSink};

/// Age of steps that are not sent after a start of the controller: an earlier one did.
const RECENT: SignedDuration = SignedDuration::from_hours(1);
/// Name of the span of the whole start.
const WHOLE: &str = "first start";
/// Odd, so that the ids of one trace differ.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

type Leads = Arc<dyn Fn() -> bool + Send + Sync>;

/// Sends the spans of Workspaces, once each.
#[derive(Clone)]
pub(crate) struct StartTraces {
    sink: Option<SpanSink>,
    leads: Leads,
    /// Ids of the spans that were sent or are too old, by the UID of a live Workspace.
    sent: Arc<Mutex<HashMap<String, BTreeSet<u64>>>>,
}

impl fmt::Debug for StartTraces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartTraces")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

impl StartTraces {
    /// Without a sink nothing is sent. Only the replica that leads sends.
    pub(crate) fn new(sink: Option<SpanSink>, leads: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            sink,
            leads: Arc::new(leads),
            sent: Arc::default(),
        }
    }

    /// Sends the steps that a change shows.
    pub(crate) fn record(&self, change: &Change<Workspace>) {
        if self.sink.is_none() {
            return;
        }
        match (&change.old, &change.new) {
            (_, Some(workspace)) => self.send(workspace),
            (Some(gone), None) => {
                let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
                sent.remove(gone.uid());
            }
            (None, None) => {}
        }
    }

    /// Sends the recent steps of all Workspaces, which a leader before may not have sent.
    pub(crate) fn catch_up(&self, workspaces: &[Arc<Workspace>]) {
        workspaces.iter().for_each(|workspace| self.send(workspace));
    }

    fn send(&self, workspace: &Workspace) {
        let Some(sink) = self.sink.as_ref().filter(|_| (self.leads)()) else {
            return;
        };
        let mut spans = spans(workspace);
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sent.entry(workspace.uid().to_owned()).or_default();
        spans.retain(|span| known.insert(span.id));
        drop(sent);
        let recent = operator_runtime::clock::now()
            .checked_sub(RECENT)
            .map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        let new = spans.into_iter().filter(|span| span.end >= recent);
        new.for_each(|span| sink.send(span));
    }
}

/// Returns the spans of the steps that are done, in their order, and of the whole once it is done. A step begins with the end of
/// the one before.
fn spans(workspace: &Workspace) -> Vec<FinishedSpan> {
    let created = workspace.metadata.creation_timestamp.as_ref();
    let start = workspace
        .status
        .as_ref()
        .and_then(|status| status.cold_start.as_ref());
    let (Some(created), Some(start), Some(trace)) = (created, start, trace_id(workspace.uid())) else {
        return Vec::new();
    };
    let span = |index: u64, name, from: Timestamp, to: Timestamp| FinishedSpan {
        trace,
        id: span_id(trace, index),
        parent: (index > 0).then(|| span_id(trace, 0)),
        name,
        start: from.into(),
        end: to.into(),
        attributes: attributes(workspace, start),
    };
    let (mut before, mut spans) = (created.0, Vec::new());
    for (index, (step, time)) in (1..).zip(start.steps()) {
        if let Some(time) = time {
            spans.push(span(index, name(step), before, time.0));
            before = before.max(time.0);
        }
    }
    if is_whole(workspace, start) {
        spans.push(span(0, WHOLE, created.0, before));
    }
    spans
}

/// A tuning has no answer; it begins when its containers have started.
fn is_whole(workspace: &Workspace, start: &ColdStart) -> bool {
    start.ready.is_some() || workspace.spec.tuning.is_some() && start.started.is_some()
}

fn name(step: ColdStartStep) -> &'static str {
    match step {
        ColdStartStep::Claimed => "claim nodes",
        ColdStartStep::Launched => "launch instances",
        ColdStartStep::Registered => "join nodes",
        ColdStartStep::Initialized => "initialize nodes",
        ColdStartStep::Scheduled => "schedule pods",
        ColdStartStep::Downloaded => "download weights",
        ColdStartStep::Started => "pull images and start containers",
        ColdStartStep::Ready => "load model and answer",
    }
}

fn attributes(workspace: &Workspace, start: &ColdStart) -> Vec<(&'static str, String)> {
    let status = workspace.status.as_ref();
    let of_status =
        |read: fn(&kaito_api::workspace_status::WorkspaceStatus) -> Option<String>| status.and_then(read);
    let facts = [
        ("k8s.namespace.name", Some(workspace.namespace().to_owned())),
        ("kaito.workspace", Some(workspace.name().to_owned())),
        ("kaito.model", of_status(|status| status.model.clone())),
        (
            "kaito.instance_type",
            of_status(|status| status.instance_type.clone()),
        ),
        (
            "kaito.weights_bytes",
            start.weights_bytes.map(|bytes| bytes.to_string()),
        ),
    ];
    let facts = facts.into_iter();
    facts.filter_map(|(key, value)| Some((key, value?))).collect()
}

/// The UID without hyphens, so that people can look it up.
fn trace_id(uid: &str) -> Option<u128> {
    let digits = uid.replace('-', "");
    let id = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32 && id != 0).then_some(id)
}

#[allow(clippy::cast_possible_truncation, reason = "half of an id that is random")]
fn span_id(trace: u128, index: u64) -> u64 {
    (trace as u64)
        .wrapping_add((index + 1).wrapping_mul(SPREAD))
        .max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UID: &str = "0b5c0a50-51a2-4a0e-9b11-7d8b1d1f6c11";

    fn workspace(start: &serde_json::Value) -> Workspace {
        serde_json::from_value(json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
            "metadata": {"namespace": "team", "name": "a", "uid": UID, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"model": "phi-4", "coldStart": start},
        }))
        .unwrap()
    }

    fn shown(workspace: &Workspace) -> Vec<(&'static str, u64)> {
        let seconds = |span: &FinishedSpan| span.end.duration_since(span.start).unwrap().as_secs();
        spans(workspace)
            .iter()
            .map(|span| (span.name, seconds(span)))
            .collect()
    }

    #[test]
    fn each_step_is_a_part_of_the_start() {
        let at = |minute: u32| format!("2026-01-01T00:{minute:02}:00Z");
        let begun = json!({"claimed": at(1), "launched": at(3)});
        assert_eq!(
            shown(&workspace(&begun)),
            [("claim nodes", 60), ("launch instances", 120)]
        );
        let done = workspace(
            &json!({"claimed": at(1), "launched": at(3), "scheduled": at(3), "started": at(8), "ready": at(10)}),
        );
        assert_eq!(
            shown(&done),
            [
                ("claim nodes", 60),
                ("launch instances", 120),
                ("schedule pods", 0),
                ("pull images and start containers", 300),
                ("load model and answer", 120),
                ("first start", 600),
            ]
        );
        let spans = spans(&done);
        let (whole, parts) = spans.split_last().unwrap();
        assert_eq!(whole.parent, None);
        assert!(parts.iter().all(|part| part.parent == Some(whole.id)));
        let ids: std::collections::BTreeSet<u64> = spans.iter().map(|span| span.id).collect();
        assert_eq!(ids.len(), spans.len());
        assert_eq!(format!("{:032x}", whole.trace), UID.replace('-', ""));
    }

    #[test]
    fn the_id_of_a_step_stays_when_others_are_added() {
        let early = spans(&workspace(&json!({"launched": "2026-01-01T00:01:00Z"})));
        let late = spans(&workspace(
            &json!({"claimed": "2026-01-01T00:00:30Z", "launched": "2026-01-01T00:01:00Z"}),
        ));
        assert_eq!(early[0].id, late[1].id);
    }

    #[test]
    fn nothing_without_a_start_or_a_uid() {
        assert_eq!(spans(&workspace(&json!(null))), []);
        let mut unnamed = workspace(&json!({"claimed": "2026-01-01T00:00:30Z"}));
        unnamed.metadata.uid = Some("of-a-test".to_owned());
        assert_eq!(spans(&unnamed), []);
    }
}

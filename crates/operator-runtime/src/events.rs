//! Kubernetes Events about the object that is reconciled. A failure here never fails a reconcile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use plan::text::cut;

use crate::apply::Root;
use crate::error::Chain;

/// The server refuses longer notes.
const LONGEST_NOTE: usize = 1024;
/// An event is not worth waiting for longer than this.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes events under the program's name.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
    /// Whether the last one failed: only the first failure of a row is a warning.
    failing: Arc<AtomicBool>,
}

impl Events {
    pub(crate) fn new(client: Client, program: &'static str) -> Self {
        let reporter = Reporter {
            controller: program.to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client, reporter),
            failing: Arc::default(),
        }
    }

    /// Publishes one event.
    pub(crate) async fn publish(&self, root: &Root<'_>, event: plan::Event) {
        let reason = event.reason;
        let published = Event {
            type_: if event.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: reason.to_owned(),
            note: Some(cut(&event.message, LONGEST_NOTE)),
            action: reason.to_owned(),
            secondary: None,
        };
        let published =
            tokio::time::timeout(TIMEOUT, self.recorder.publish(&published, &reference(root))).await;
        match published {
            Ok(Ok(())) => self.failing.store(false, Ordering::Relaxed),
            Ok(Err(error)) => self.failed(reason, &Chain(&error).to_string()),
            Err(_) => self.failed(reason, "no answer in time"),
        }
    }

    fn failed(&self, reason: &'static str, error: &str) {
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(reason, error, "an event was not published");
        } else {
            tracing::warn!(
                reason,
                error,
                "an event was not published; more of these are logged at debug"
            );
        }
    }
}

fn reference(root: &Root<'_>) -> ObjectReference {
    ObjectReference {
        api_version: Some(root.target.kind.api_version().to_owned()),
        kind: Some(root.target.kind.as_str().to_owned()),
        namespace: root.target.namespace.clone(),
        name: Some(root.target.name.clone()),
        uid: root.meta.uid.clone(),
        ..ObjectReference::default()
    }
}

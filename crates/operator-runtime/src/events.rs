//! Kubernetes Events about the reconciled object. A failure here never fails a reconcile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use plan::text::cut;

use crate::error::Chain;
use crate::reconciled_object::ReconciledObject;

/// Longest note that the server accepts, in bytes.
const LONGEST_NOTE: usize = 1024;
/// Time limit: an event is not worth a longer wait.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes events under the program's name.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
    /// Set while publishing fails: only the first failure in a row is a warning.
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
    pub(crate) async fn publish(&self, reconciled: &ReconciledObject<'_>, event: plan::Event) {
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
            tokio::time::timeout(TIMEOUT, self.recorder.publish(&published, &reference(reconciled))).await;
        match published {
            Ok(Ok(())) => self.failing.store(false, Ordering::Relaxed),
            Ok(Err(error)) => self.report_failure(reason, &Chain(&error).to_string()),
            Err(_) => self.report_failure(reason, "no response in time"),
        }
    }

    fn report_failure(&self, reason: &'static str, error: &str) {
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(reason, error, "failed to publish event");
        } else {
            tracing::warn!(
                reason,
                error,
                "failed to publish event, further failures are logged at debug level"
            );
        }
    }
}

fn reference(reconciled: &ReconciledObject<'_>) -> ObjectReference {
    ObjectReference {
        api_version: Some(reconciled.target.kind.api_version().to_owned()),
        kind: Some(reconciled.target.kind.as_str().to_owned()),
        namespace: reconciled.target.namespace.clone(),
        name: Some(reconciled.target.name.clone()),
        uid: reconciled.meta.uid.clone(),
        ..ObjectReference::default()
    }
}

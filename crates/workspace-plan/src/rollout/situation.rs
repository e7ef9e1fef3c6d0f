//! Everything that the choice of a rendering depends on, and the possible choices.

use kaito_api::{labels, names};
use plan::Manifest;

use super::revisions::{self, Rendering, Requests, Revision};
use crate::context::PlanContext;
use crate::desired::Desired;
use crate::metadata::annotation;
use crate::upgrade_queue::Turn;
use crate::user_config::{self, ConfigLookup};
use crate::workload::Workload;

/// Revisions that may be lost since the newest one that is kept.
const MOST_LOST: i64 = 10;

/// The rendering to apply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The one of this program.
    Rendered,
    /// The same, unasked: the one that was applied last was never ready.
    Instead,
    /// The same, and it runs already, without a record.
    Running,
    /// The kept revision of this name.
    Recorded(String),
    /// Nothing is recorded about the workload that runs, or upstream's controller made it: it stays as it is, for this
    /// reason.
    Unknown(&'static str),
}

/// Everything that the choice depends on.
pub(super) struct Situation<'a> {
    pub(super) context: &'a PlanContext<'a>,
    pub(super) rendering: Rendering,
    pub(super) requests: Requests,
    /// The newest first.
    pub(super) kept: Vec<Revision>,
    /// Number of the newest revision that was ever recorded.
    pub(super) newest: i64,
}

impl<'a> Situation<'a> {
    pub(super) fn new(context: &'a PlanContext<'a>, desired: &Desired<'_>, workload: Manifest) -> Self {
        let request = |key| context.workspace().annotation(key).map(str::to_owned);
        let kept = revisions::kept(context);
        Self {
            context,
            rendering: Rendering {
                digest: revisions::digest(&workload),
                inputs: inputs(context, desired.nodes),
                nodes: annotation(workload.metadata(), labels::NODE_COUNT).map(str::to_owned),
                workload,
            },
            requests: Requests {
                upgrade: request(labels::UPGRADE),
                rollback_to: request(labels::ROLLBACK_TO),
            },
            newest: newest_number(context.workload, &kept),
            kept,
        }
    }

    /// The revision of what runs; `None` if it is lost, or there was none.
    pub(super) fn current(&self) -> Option<&Revision> {
        self.kept.first().filter(|current| current.number == self.newest)
    }

    /// Number of the revision that the workload was written from last, as its annotation says.
    pub(super) fn running_number(&self) -> Option<i64> {
        marked_number(self.context.workload?)
    }

    /// The revision that the workload was written from last. An upgrade is recorded before it is applied.
    pub(super) fn running(&self) -> Option<&Revision> {
        let number = self.running_number()?;
        self.kept.iter().find(|revision| revision.number == number)
    }

    /// Returns true if the pods of the current revision serve.
    pub(super) fn is_serving(&self) -> bool {
        let workload = self.context.workload;
        let is_rolled_out = workload.is_some_and(|workload| workload.is_rolled_out());
        is_rolled_out && self.running_number() == Some(self.newest)
    }

    /// Returns true if the automatic upgrade begins with this plan.
    pub(super) fn is_next(&self) -> bool {
        self.context.observed.turn == Turn::Yours && self.may_follow()
    }

    /// Returns true unless the Workspace returned to a revision, or its model would move to another kind of workload.
    pub(super) fn may_follow(&self) -> bool {
        let kind = self.rendering.workload.kind();
        let has_kind = self
            .current()
            .is_some_and(|current| current.workload.kind() == kind);
        has_kind && self.requests.rollback_to.is_none()
    }
}

/// Number of the newest revision that was ever recorded. It is above the kept ones if a user deleted the newest: an older
/// one must not be taken for what runs.
fn newest_number(running: Option<Workload<'_>>, kept: &[Revision]) -> i64 {
    let newest = kept.first().map_or(0, |revision| revision.number);
    // Users can write the mark of a workload, and numbers grow one by one.
    match running.and_then(marked_number) {
        Some(mark) if (newest..=newest.saturating_add(MOST_LOST)).contains(&mark) => mark,
        _ => newest,
    }
}

fn marked_number(workload: Workload<'_>) -> Option<i64> {
    annotation(workload.metadata(), labels::REVISION)?.parse().ok()
}

/// Digest of what the Workspace and its ConfigMap say about the workload, and of the number of nodes that it has.
///
/// The generation stands for the spec: the API server counts its changes. A digest of the spec itself would change with
/// a version of this program that knows another field.
fn inputs(context: &PlanContext<'_>, nodes: u32) -> String {
    const KEYS: [&str; 7] = [
        labels::RUNTIME,
        labels::MAX_CONTEXT,
        labels::MODEL_REVISION,
        labels::BYPASS_RESOURCE_CHECKS,
        labels::PERFORMANCE_MODE,
        labels::USE_LOCAL_WEIGHTS,
        labels::WEIGHTS_STORAGE_CLASS,
    ];
    let workspace = context.workspace();
    // Absent annotations leave no trace, so that a key that is added here changes only Workspaces that carry it.
    let annotations = KEYS.into_iter().filter_map(|key| {
        let value = workspace.annotation(key)?;
        Some(format!("{key}={value}"))
    });
    let config = match &context.observed.config {
        ConfigLookup::Found(config_map) => Some(user_config::digest(config_map).to_owned()),
        _ => None,
    };
    let parts: Vec<String> = [context.generation().to_string(), nodes.to_string()]
        .into_iter()
        .chain(annotations)
        .chain(config)
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    names::digest(&parts)[..16].to_owned()
}

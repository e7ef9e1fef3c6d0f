//! Recorded renderings: the ControllerRevisions that the Workspace owns.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use kaito_api::{labels, names};
use plan::{Kind, Manifest};
use serde_json::Value;

use crate::context::PlanContext;
use crate::metadata::{self, annotation};

/// A workload as it is rendered now.
#[derive(Clone, Debug)]
pub(super) struct Rendering {
    pub(super) digest: String,
    /// Digest of what the Workspace says about it.
    pub(super) inputs: String,
    pub(super) nodes: Option<String>,
    pub(super) workload: Manifest,
}

/// Requests of the Workspace's annotations, or those that were carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) upgrade: Option<String>,
    pub(super) rollback_to: Option<String>,
}

/// A rendering that was applied.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) number: i64,
    pub(super) digest: String,
    /// Digest of what the Workspace said when it was applied last.
    pub(super) inputs: String,
    pub(super) carried_out: Requests,
    /// Time at which its automatic upgrade began; `None` if it was none, or the model served since.
    pub(super) mark: Option<String>,
    /// Set if it was never ready: the number of the revision that it replaced unasked, or 0.
    pub(super) never_ready: Option<i64>,
    /// Time at which it was recorded first.
    pub(super) created: Option<Timestamp>,
    pub(super) workload: Manifest,
}

impl Revision {
    /// Returns true if the revision runs on the nodes and with the Service of this rendering.
    pub(super) fn suits(&self, rendering: &Rendering) -> bool {
        annotation(self.workload.metadata(), labels::NODE_COUNT) == rendering.nodes.as_deref()
            && self.workload.kind() == rendering.workload.kind()
    }
}

/// The readable revisions of the Workspace, the newest first.
pub(super) fn kept(context: &PlanContext<'_>) -> Vec<Revision> {
    let all = context.observed.revisions.iter();
    let own = all.filter(|object| context.owns(&object.metadata) && metadata::is_live(&object.metadata));
    let mut kept: Vec<Revision> = own.filter_map(|object| read(context, object)).collect();
    kept.sort_by_cached_key(|revision| Reverse((revision.number, revision.name.clone())));
    kept
}

/// Digest of a rendered workload.
pub(super) fn digest(workload: &Manifest) -> String {
    let mut value = workload.to_value();
    value.sort_all_objects();
    names::digest(&[&value.to_string()])
}

/// Annotations of a revision.
pub(super) fn annotations(
    inputs: &str,
    carried_out: &Requests,
    mark: Option<&str>,
    never_ready: Option<i64>,
) -> BTreeMap<String, String> {
    let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let upgrade = carried_out.upgrade.as_deref();
    let rollback_to = carried_out.rollback_to.as_deref();
    let never_ready = never_ready.map(|number| number.to_string());
    let requests = [
        (labels::NEVER_READY, never_ready.as_deref()),
        (labels::UPGRADE, upgrade),
        (labels::ROLLBACK_TO, rollback_to),
        (labels::AUTOMATIC_UPGRADE, mark),
    ];
    let requests = requests
        .into_iter()
        .filter_map(|(key, value)| Some(of(key, value?)));
    requests.chain([of(labels::INPUTS_HASH, inputs)]).collect()
}

fn read(context: &PlanContext<'_>, object: &ControllerRevision) -> Option<Revision> {
    let workload = parse(object.data.0.get("workload")?)?;
    // The record of another object is not ours.
    let (target, workspace) = (workload.metadata(), &context.workspace().metadata);
    if target.name != workspace.name || target.namespace != workspace.namespace || !context.owns(target) {
        return None;
    }
    let request = |key| annotation(&object.metadata, key).map(str::to_owned);
    Some(Revision {
        name: metadata::name(&object.metadata).to_owned(),
        uid: object.metadata.uid.clone()?,
        number: object.revision.unwrap_or_default(),
        digest: digest(&workload),
        inputs: request(labels::INPUTS_HASH)?,
        carried_out: Requests {
            upgrade: request(labels::UPGRADE),
            rollback_to: request(labels::ROLLBACK_TO),
        },
        mark: request(labels::AUTOMATIC_UPGRADE),
        never_ready: request(labels::NEVER_READY).and_then(|number| number.parse().ok()),
        created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
        workload,
    })
}

fn parse(value: &Value) -> Option<Manifest> {
    let kind = value.get("kind")?.as_str()?;
    if kind == Kind::Deployment.as_str() {
        serde_json::from_value::<Deployment>(value.clone())
            .ok()
            .map(Manifest::from)
    } else if kind == Kind::StatefulSet.as_str() {
        serde_json::from_value::<StatefulSet>(value.clone())
            .ok()
            .map(Manifest::from)
    } else {
        None
    }
}

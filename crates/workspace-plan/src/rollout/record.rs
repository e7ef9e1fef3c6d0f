//! The writes that record what is applied.

use kaito_api::{labels, names};
use plan::drift::apply_if_needed;
use plan::{Delete, Manifest, ObjectRef, Propagation, Write};

use super::revisions::{self, Requests, Revision};
use super::situation::Situation;

/// Revisions that are kept, with the one that runs.
const KEPT: usize = 5;

/// Facts that are recorded with a workload.
#[derive(Debug)]
pub(super) struct Record {
    /// Number of the revision; a higher one is newer.
    pub(super) number: i64,
    /// Time at which its automatic upgrade began, until the model serves.
    pub(super) mark: Option<String>,
    /// Set until it is ready: the number of the revision that it replaces unasked, or 0.
    pub(super) never_ready: Option<i64>,
    /// Digest of what the Workspace says.
    pub(super) inputs: String,
    /// Requests that are carried out with it.
    pub(super) carried_out: Requests,
}

impl Record {
    /// Returns the workload with the marks that say what it was made from.
    pub(super) fn marked(&self, mut workload: Manifest) -> Manifest {
        let annotations = workload.metadata_mut().annotations.get_or_insert_default();
        annotations.insert(labels::REVISION.to_owned(), self.number.to_string());
        annotations.insert(labels::INPUTS_HASH.to_owned(), self.inputs.clone());
        if let Some(upgrade) = &self.carried_out.upgrade {
            annotations.insert(labels::UPGRADE.to_owned(), upgrade.clone());
        }
        workload
    }

    /// Plans the writes that make the workload's revision the newest, and delete those that are too old.
    pub(super) fn writes(&self, situation: &Situation<'_>, workload: &Manifest) -> Vec<Write> {
        let workspace = situation.context.workspace();
        let name = names::revision(workspace.name(), &revisions::digest(workload));
        let mark = self.mark.as_deref();
        let annotations = revisions::annotations(&self.inputs, &self.carried_out, mark, self.never_ready);
        let revision = render::revision(workspace, name.clone(), self.number, annotations, workload);
        let others = || situation.kept.iter().filter(|revision| revision.name != name);
        let is_settled = situation.is_serving() && self.carried_out.rollback_to.is_none();
        let settled = others()
            .take(KEPT - 1)
            .filter(|revision| is_settled && revision.mark.is_some());
        let settled = settled.filter_map(|revision| apply(situation, unmarked(situation, revision)));
        let old = others().skip(KEPT - 1).map(|revision| {
            Write::Delete(Delete {
                target: ObjectRef {
                    kind: plan::Kind::ControllerRevision,
                    namespace: workspace.metadata.namespace.clone(),
                    name: revision.name.clone(),
                },
                uid: revision.uid.clone(),
                resource_version: None,
                propagation: Propagation::Background,
                grace_seconds: None,
            })
        });
        let write = apply(situation, revision.into());
        write.into_iter().chain(settled).chain(old).collect()
    }
}

/// The revision without the mark of an automatic upgrade.
fn unmarked(situation: &Situation<'_>, revision: &Revision) -> Manifest {
    let annotations = revisions::annotations(
        &revision.inputs,
        &revision.carried_out,
        None,
        revision.never_ready,
    );
    let (workspace, name) = (situation.context.workspace(), revision.name.clone());
    render::revision(workspace, name, revision.number, annotations, &revision.workload).into()
}

fn apply(situation: &Situation<'_>, revision: Manifest) -> Option<Write> {
    let name = revision.metadata().name.clone();
    let mut observed = situation.context.observed.revisions.iter();
    let observed = observed.find(|object| object.metadata.name == name);
    apply_if_needed(revision, observed.map(AsRef::as_ref))
}

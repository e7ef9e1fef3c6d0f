//! Choice of the rendering that is applied: the recorded one, unless the Workspace changed or an upgrade was asked for.
//!
//! A new version of the operator, its images or its catalog render another workload, and a running model must not
//! restart for that. Each applied rendering is recorded in a ControllerRevision of the Workspace; the newest is the one
//! that runs, and drift is repaired towards it. The rights that Kubernetes gives to users of a namespace do not include
//! writing revisions, and who may write them may write Deployments too.

mod automatic;
mod choice;
mod difference;
mod never_ready;
mod placement;
mod record;
mod revisions;
mod situation;

pub(crate) use automatic::request;

use automatic::{available, is_fixed};
use choice::choose;
use jiff::Timestamp;
use plan::{Manifest, Write};
use record::Record;
use situation::{Choice, Situation};

use crate::context::PlanContext;
use crate::desired::{Desired, DesiredWorkload};
use crate::model_commit;
use crate::problem::Problem;

/// The objects to apply, and the record of the workload among them.
#[derive(Debug)]
pub(crate) struct Rollout {
    /// The workload is the last, unless nothing is known about the one that runs.
    pub(crate) manifests: Vec<Manifest>,
    /// Writes of revisions. They come before that of the workload, so that the newest revision is never older than it.
    pub(crate) revisions: Vec<Write>,
    /// False if objects without a manifest may belong to the recorded workload.
    pub(crate) deletes_stale: bool,
    /// True if only the size of the workload is repaired: nothing is known about its pod template.
    pub(crate) keeps_template: bool,
    /// Version of the workload that the write depends on.
    pub(crate) expected_version: Option<String>,
    /// Problems to report although they prevent nothing.
    pub(crate) notes: Vec<Problem>,
    /// Time at which the choice or the notes may change by themselves.
    pub(crate) changes_at: Option<Timestamp>,
}

impl Rollout {
    fn of(manifests: Vec<Manifest>) -> Self {
        Self {
            manifests,
            revisions: Vec::new(),
            deletes_stale: true,
            keeps_template: false,
            expected_version: None,
            notes: Vec::new(),
            changes_at: None,
        }
    }
}

/// Decides what is applied. The workload is the last of the manifests.
pub(crate) fn of(context: &PlanContext<'_>, desired: &Desired<'_>, mut manifests: Vec<Manifest>) -> Rollout {
    let model = match &desired.workload {
        _ if desired.update_blocked.is_some() => None,
        DesiredWorkload::Inference(inference) if inference.weights_image.is_none() => {
            model_commit::record(context, inference.preset)
        }
        DesiredWorkload::Tuning(tuning) if model_commit::downloads_for_tuning(tuning.preset) => {
            model_commit::record(context, tuning.preset)
        }
        DesiredWorkload::Inference(_) | DesiredWorkload::Tuning(_) | DesiredWorkload::Template(_) => None,
    };
    let Some(workload) = manifests.pop_if(|_| !is_fixed(desired)) else {
        return Rollout {
            revisions: model.into_iter().collect(),
            ..Rollout::of(manifests)
        };
    };
    let situation = Situation::new(context, desired, workload);
    let (rendering, kept) = (&situation.rendering, &situation.kept);
    let (choice, mut carried_out, problem) = choose(&situation);
    let mut rollout = Rollout::of(manifests);
    rollout.notes.extend(problem);
    if let DesiredWorkload::Inference(inference) = &desired.workload
        && inference.weights_image.is_none()
    {
        rollout
            .notes
            .extend(model_commit::newer(context, inference.preset));
    }
    let workload = match &choice {
        Choice::Rendered | Choice::Instead | Choice::Running => rendering.workload.clone(),
        Choice::Recorded(name) => match kept.iter().find(|revision| revision.name == *name) {
            Some(revision) => revision.workload.clone(),
            None => rendering.workload.clone(),
        },
        Choice::Unknown(reason) => {
            rollout.deletes_stale = false;
            rollout.keeps_template = true;
            rollout.notes.push(available(reason));
            if !context
                .workload
                .is_some_and(|runs| runs.is_like(&rendering.workload))
            {
                rollout.manifests.clear();
            }
            rollout.manifests.push(rendering.workload.clone());
            return rollout;
        }
    };
    // What is recorded about the rendering holds wherever its pods are placed.
    let recorded = revisions::digest(&workload);
    let workload = placement::follow(context, workload, &rendering.workload);
    let digest = revisions::digest(&workload);
    if digest != rendering.digest {
        let difference = difference::between(&workload.to_value(), &rendering.workload.to_value());
        rollout
            .notes
            .extend(automatic::announced(&situation, &difference));
        // The other objects are rendered for the new kind, and would not fit the old one.
        if workload.kind() != rendering.workload.kind() {
            rollout.deletes_stale = false;
            rollout.manifests.clear();
        }
    }
    // A request to return is remembered until its annotation is removed.
    if situation.requests.rollback_to.is_none() {
        carried_out.rollback_to = None;
    }
    let number = match situation.current() {
        Some(current) if current.digest == digest => situation.newest,
        None if choice == Choice::Running => situation.newest,
        _ => situation.newest.saturating_add(1),
    };
    let record = Record {
        number,
        mark: automatic::mark(&situation, &recorded),
        never_ready: never_ready::mark(&situation, &choice, &recorded),
        inputs: rendering.inputs.clone(),
        carried_out,
    };
    rollout
        .notes
        .extend(automatic::failed(&situation, record.mark.as_deref()));
    rollout.changes_at = automatic::changes_at(&situation, record.mark.as_deref());
    rollout.expected_version = never_ready::expected_version(&situation, record.never_ready);
    rollout.revisions = model
        .into_iter()
        .chain(record.writes(&situation, &workload))
        .collect();
    rollout.manifests.push(record.marked(workload));
    rollout
}

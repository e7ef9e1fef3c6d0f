//! Choice of the rendering that is applied: the recorded one, unless the Workspace changed or an upgrade was asked for.
//!
//! A new version of the operator, its images or its catalog render another workload, and a running model must not
//! restart for that. Each applied rendering is recorded in a ControllerRevision of the Workspace; the newest is the one
//! that runs, and drift is repaired towards it. The rights that Kubernetes gives to users of a namespace do not include
//! writing revisions, and who may write them may write Deployments too.

mod difference;
mod revisions;

use kaito_api::conditions::WorkspaceReason;
use kaito_api::{labels, names};
use plan::drift::apply_if_needed;
use plan::{Delete, Manifest, ObjectRef, Propagation, Write};

use crate::context::PlanContext;
use crate::desired::{Desired, DesiredWorkload};
use crate::metadata::annotation;
use crate::problem::Problem;
use crate::workload::Workload;
use revisions::{Rendering, Requests, Revision};

/// Revisions that are kept, with the one that runs.
const KEPT: usize = 5;
/// Revisions that may be lost since the newest one that is kept.
const MOST_LOST: i64 = 10;

/// The objects to apply, and the record of the workload among them.
#[derive(Debug)]
pub(crate) struct Rollout {
    /// The workload is the last, unless nothing is known about the one that runs.
    pub(crate) manifests: Vec<Manifest>,
    /// Writes of revisions. They come before that of the workload, so that the newest revision is never older than it.
    pub(crate) revisions: Vec<Write>,
    /// False if objects without a manifest may belong to the recorded workload.
    pub(crate) deletes_stale: bool,
    /// Problems to report although they prevent nothing.
    pub(crate) notes: Vec<Problem>,
}

impl Rollout {
    fn of(manifests: Vec<Manifest>) -> Self {
        Self {
            manifests,
            revisions: Vec::new(),
            deletes_stale: true,
            notes: Vec::new(),
        }
    }
}

/// The rendering to apply.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// The one of this program.
    Rendered,
    /// The same, and it runs already, without a record.
    Running,
    /// The kept revision of this name.
    Recorded(String),
    /// Nothing is recorded about the workload that runs: it stays as it is.
    Unknown,
}

/// Decides what is applied. The workload is the last of the manifests.
///
/// Jobs are never changed, and a blocked update changes only the size.
pub(crate) fn of(context: &PlanContext<'_>, desired: &Desired<'_>, mut manifests: Vec<Manifest>) -> Rollout {
    let is_fixed = matches!(desired.workload, DesiredWorkload::Tuning(_)) || desired.update_blocked.is_some();
    let Some(workload) = manifests.pop_if(|_| !is_fixed) else {
        return Rollout::of(manifests);
    };
    let rendering = Rendering {
        digest: revisions::digest(&workload),
        inputs: inputs(context, desired.nodes),
        nodes: annotation(workload.metadata(), labels::NODE_COUNT).map(str::to_owned),
        workload,
    };
    let requests = Requests {
        upgrade: context.workspace().annotation(labels::UPGRADE).map(str::to_owned),
        rollback_to: context
            .workspace()
            .annotation(labels::ROLLBACK_TO)
            .map(str::to_owned),
    };
    let kept = revisions::kept(context);
    let newest = newest_number(context.workload, &kept);
    let current = kept.first().filter(|current| current.number == newest);
    let (choice, mut carried_out, problem) = choose(context.workload, &rendering, &requests, current, &kept);
    let mut rollout = Rollout::of(manifests);
    rollout.notes.extend(problem);
    let workload = match &choice {
        Choice::Rendered | Choice::Running => rendering.workload.clone(),
        Choice::Recorded(name) => match kept.iter().find(|revision| revision.name == *name) {
            Some(revision) => revision.workload.clone(),
            None => rendering.workload.clone(),
        },
        Choice::Unknown => {
            rollout.deletes_stale = false;
            rollout.notes.push(available("the revision of what runs is gone"));
            return rollout;
        }
    };
    if revisions::digest(&workload) != rendering.digest {
        let difference = difference::between(&workload.to_value(), &rendering.workload.to_value());
        rollout.notes.push(available(&difference));
        // The other objects are rendered for the new kind, and would not fit the old one.
        if workload.kind() != rendering.workload.kind() {
            rollout.deletes_stale = false;
            rollout.manifests.clear();
        }
    }
    // A request to return is remembered until its annotation is removed.
    if requests.rollback_to.is_none() {
        carried_out.rollback_to = None;
    }
    let number = match current {
        Some(current) if current.digest == revisions::digest(&workload) => newest,
        None if choice == Choice::Running => newest,
        _ => newest.saturating_add(1),
    };
    rollout.revisions = record(context, &workload, number, &rendering.inputs, &carried_out, &kept);
    rollout
        .manifests
        .push(marked(workload, number, &rendering.inputs, &carried_out));
    rollout
}

/// Number of the newest revision that was ever recorded. It is above the kept ones if a user deleted the newest: an older
/// one must not be taken for what runs.
fn newest_number(running: Option<Workload<'_>>, kept: &[Revision]) -> i64 {
    let newest = kept.first().map_or(0, |revision| revision.number);
    let mark = running.and_then(|workload| annotation(workload.metadata(), labels::REVISION)?.parse().ok());
    // Users can write the mark of a workload, and numbers grow one by one.
    match mark {
        Some(mark) if (newest..=newest.saturating_add(MOST_LOST)).contains(&mark) => mark,
        _ => newest,
    }
}

fn available(difference: &str) -> Problem {
    Problem::new(WorkspaceReason::UpgradeAvailable, difference)
}

/// Chooses the rendering, and says which requests are carried out with it. `kept` has the newest revision first.
fn choose(
    running: Option<Workload<'_>>,
    new: &Rendering,
    requests: &Requests,
    current: Option<&Revision>,
    kept: &[Revision],
) -> (Choice, Requests, Option<Problem>) {
    let all = requests.clone();
    let Some(current) = current else {
        return (unrecorded(running, new, requests), all, None);
    };
    let returned = Requests {
        rollback_to: current.carried_out.rollback_to.clone(),
        ..all.clone()
    };
    let mut problem = None;
    if let Some(name) = &requests.rollback_to
        && current.carried_out.rollback_to.as_ref() != Some(name)
    {
        match kept.iter().find(|revision| revision.name == *name) {
            Some(revision) if revision.suits(new) => return (Choice::Recorded(name.clone()), all, None),
            found => problem = Some(not_possible(name, found, new, kept)),
        }
    }
    let is_asked = requests.upgrade.is_some() && requests.upgrade != current.carried_out.upgrade;
    let is_lost = running.is_none() && current.workload.kind() != new.workload.kind();
    let is_new = current.inputs != new.inputs || is_asked || is_lost;
    let choice = if is_new || current.digest == new.digest {
        Choice::Rendered
    } else {
        Choice::Recorded(current.name.clone())
    };
    (choice, returned, problem)
}

/// Without a revision only the marks on the workload tell what it was made from.
fn unrecorded(running: Option<Workload<'_>>, new: &Rendering, requests: &Requests) -> Choice {
    let Some(workload) = running else {
        return Choice::Rendered;
    };
    let mark = |key| annotation(workload.metadata(), key);
    let is_asked = requests.upgrade.is_some() && requests.upgrade.as_deref() != mark(labels::UPGRADE);
    let has_same_inputs = mark(labels::INPUTS_HASH) == Some(&new.inputs);
    let number = mark(labels::REVISION).and_then(|number| number.parse().ok());
    let wanted = marked(
        new.workload.clone(),
        number.unwrap_or_default(),
        &new.inputs,
        requests,
    );
    let drift = match workload {
        Workload::Deployment(object) => apply_if_needed(wanted, Some(object)),
        Workload::StatefulSet(object) => apply_if_needed(wanted, Some(object)),
        Workload::Job(_) => return Choice::Rendered,
    };
    match drift {
        None => Choice::Running,
        Some(_) if has_same_inputs && !is_asked => Choice::Unknown,
        Some(_) => Choice::Rendered,
    }
}

fn not_possible(name: &str, found: Option<&Revision>, new: &Rendering, kept: &[Revision]) -> Problem {
    let names: Vec<&str> = kept
        .iter()
        .filter(|revision| revision.suits(new))
        .map(|revision| revision.name.as_str())
        .collect();
    let why = match found {
        Some(_) => "was made for other nodes",
        None => "is not kept",
    };
    let cause = format!(
        "revision {name} {why}; revisions to return to: {}",
        names.join(", ")
    );
    Problem::new(WorkspaceReason::RollbackNotPossible, cause)
}

/// Returns the workload with the marks that say what it was made from.
fn marked(mut workload: Manifest, number: i64, inputs: &str, carried_out: &Requests) -> Manifest {
    let annotations = workload.metadata_mut().annotations.get_or_insert_default();
    annotations.insert(labels::REVISION.to_owned(), number.to_string());
    annotations.insert(labels::INPUTS_HASH.to_owned(), inputs.to_owned());
    if let Some(upgrade) = &carried_out.upgrade {
        annotations.insert(labels::UPGRADE.to_owned(), upgrade.clone());
    }
    workload
}

/// Plans the writes that make the workload's revision the newest, and delete those that are too old.
fn record(
    context: &PlanContext<'_>,
    workload: &Manifest,
    number: i64,
    inputs: &str,
    carried_out: &Requests,
    kept: &[Revision],
) -> Vec<Write> {
    let name = names::revision(context.workspace().name(), &revisions::digest(workload));
    let annotations = revisions::annotations(inputs, carried_out);
    let revision = render::revision(context.workspace(), name.clone(), number, annotations, workload);
    let others = kept.iter().filter(|revision| revision.name != name);
    let old = others.skip(KEPT - 1).map(|revision| {
        Write::Delete(Delete {
            target: ObjectRef {
                kind: plan::Kind::ControllerRevision,
                namespace: context.workspace().metadata.namespace.clone(),
                name: revision.name.clone(),
            },
            uid: revision.uid.clone(),
            resource_version: None,
            propagation: Propagation::Background,
            grace_seconds: None,
        })
    });
    let observed = context.observed.revisions.iter();
    let mut observed = observed.filter(|object| object.metadata.name.as_ref() == Some(&name));
    let write = apply_if_needed(revision, observed.next().map(AsRef::as_ref));
    write.into_iter().chain(old).collect()
}

/// Digest of what the Workspace says about its workload, and of the number of nodes that it has.
///
/// The generation stands for the spec: the API server counts its changes. A digest of the spec itself would change with
/// a version of this program that knows another field.
fn inputs(context: &PlanContext<'_>, nodes: u32) -> String {
    const KEYS: [&str; 5] = [
        labels::RUNTIME,
        labels::MAX_CONTEXT,
        labels::BYPASS_RESOURCE_CHECKS,
        labels::PERFORMANCE_MODE,
        labels::USE_LOCAL_WEIGHTS,
    ];
    let workspace = context.workspace();
    // Absent annotations leave no trace, so that a key that is added here changes only Workspaces that carry it.
    let annotations = KEYS.into_iter().filter_map(|key| {
        let value = workspace.annotation(key)?;
        Some(format!("{key}={value}"))
    });
    let parts: Vec<String> = [context.generation().to_string(), nodes.to_string()]
        .into_iter()
        .chain(annotations)
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    names::digest(&parts)[..16].to_owned()
}

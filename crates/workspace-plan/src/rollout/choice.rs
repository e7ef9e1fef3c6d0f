//! The choice: the rendering of this program, or a recorded one.

use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use plan::drift::apply_if_needed;

use super::record::Record;
use super::revisions::{Rendering, Requests, Revision};
use super::situation::{Choice, Situation};
use super::{never_ready, placement};
use crate::metadata::annotation;
use crate::problem::Problem;
use crate::workload::Workload;

/// Chooses the rendering, and says which requests are carried out with it.
pub(super) fn choose(situation: &Situation<'_>) -> (Choice, Requests, Option<Problem>) {
    let (new, requests) = (&situation.rendering, &situation.requests);
    let all = requests.clone();
    let returned_to = situation
        .current()
        .and_then(|current| current.carried_out.rollback_to.clone());
    let mut problem = None;
    if let Some(name) = &requests.rollback_to
        && returned_to.as_ref() != Some(name)
    {
        let kept = &situation.kept;
        match kept.iter().find(|revision| revision.name == *name) {
            Some(revision) if revision.suits(new) => return (Choice::Recorded(name.clone()), all, None),
            found => problem = Some(not_possible(name, found, new, kept)),
        }
    }
    let carried_out = Requests {
        rollback_to: returned_to,
        ..all
    };
    let Some(current) = situation.current() else {
        return (unrecorded(situation), carried_out, problem);
    };
    let is_asked = requests.upgrade.is_some() && requests.upgrade != current.carried_out.upgrade;
    let is_lost = situation.context.workload.is_none() && current.workload.kind() != new.workload.kind();
    let is_new = current.inputs != new.inputs || is_asked || is_lost || situation.is_next();
    let choice = match never_ready::became_ready(situation) {
        _ if is_new => Choice::Rendered,
        Some(running) => Choice::Recorded(running.name.clone()),
        None if current.digest == new.digest => Choice::Rendered,
        None if never_ready::may_replace(situation) => Choice::Instead,
        None => Choice::Recorded(current.name.clone()),
    };
    (choice, carried_out, problem)
}

/// Without a revision only the marks on the workload tell what it was made from.
fn unrecorded(situation: &Situation<'_>) -> Choice {
    let (new, requests) = (&situation.rendering, &situation.requests);
    let Some(workload) = situation.context.workload else {
        return Choice::Rendered;
    };
    let mark = |key| annotation(workload.metadata(), key);
    let is_asked = requests.upgrade.is_some() && requests.upgrade.as_deref() != mark(labels::UPGRADE);
    let has_same_inputs = mark(labels::INPUTS_HASH) == Some(&new.inputs);
    let number = mark(labels::REVISION).and_then(|number| number.parse().ok());
    let record = Record {
        number: number.unwrap_or_default(),
        mark: None,
        never_ready: None,
        inputs: new.inputs.clone(),
        carried_out: requests.clone(),
    };
    let wanted = record.marked(new.workload.clone());
    let drift = match workload {
        Workload::Deployment(object) => apply_if_needed(wanted, Some(object)),
        Workload::StatefulSet(object) => apply_if_needed(wanted, Some(object)),
        Workload::Job(_) => return Choice::Rendered,
    };
    match drift {
        None => Choice::Running,
        // No node is left for its pods, so nothing is lost with them.
        Some(_) if is_stranded(situation, workload) => Choice::Rendered,
        Some(_) if has_same_inputs && !is_asked => Choice::Unknown("the revision of what runs is gone"),
        Some(_) if is_of_upstream(workload) && !is_asked => Choice::Unknown(
            "what runs was made by another controller, and changes of this Workspace do not reach it until the first upgrade",
        ),
        Some(_) => Choice::Rendered,
    }
}

/// Returns true if the workload serves and has no mark of ours. Upstream's controller made it, and it serves on.
fn is_of_upstream(workload: Workload<'_>) -> bool {
    let marks = [labels::INPUTS_HASH, labels::REVISION, labels::NODE_COUNT];
    let is_marked = marks
        .into_iter()
        .any(|key| annotation(workload.metadata(), key).is_some());
    !is_marked && workload.has_ready_server()
}

/// Returns true if no server is ready, and the nodes exclude the pods of the workload.
fn is_stranded(situation: &Situation<'_>, workload: Workload<'_>) -> bool {
    let new = placement::pod_spec_of(&situation.rendering.workload);
    let specs = workload.pod_spec().zip(new);
    !workload.has_ready_server()
        && specs.is_some_and(|(old, new)| placement::strands(situation.context, old, new))
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

//! Where a Workspace stands, derived anew each time.

use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels::WORKSPACE_FINALIZER;

use crate::finding::Problem;
use crate::inference::Serving;
use crate::subject::{Subject, is_live};
use crate::tuning::Tuned;
use crate::validate::{self, Wanted};
use crate::workloads;

/// What is to be done with the Workspace.
#[derive(Debug)]
pub(crate) enum Phase<'a> {
    /// It is being deleted and nothing of it is ours any more.
    Gone,
    /// It is being deleted.
    Deleting,
    /// It cannot be carried out; what runs is left alone.
    Refused(Problem),
    /// It runs, and what it is made of cannot be told just now; what runs is left alone and counts as good.
    Kept(Problem),
    /// A model is to be served.
    Serving(Box<Serving<'a>>),
    /// A model is to be tuned.
    Tuning(Box<Tuned<'a>>),
}

/// The phase of the Workspace.
pub(crate) fn of<'a>(subject: &Subject<'a>) -> Phase<'a> {
    match (is_live(subject.metadata()), is_claimed(subject)) {
        (false, false) => Phase::Gone,
        (false, true) => Phase::Deleting,
        (true, _) => judge(subject),
    }
}

/// Whether the Workspace carries our finalizer.
pub(crate) fn is_claimed(subject: &Subject<'_>) -> bool {
    let finalizers = subject.metadata().finalizers.as_deref().unwrap_or_default();
    finalizers
        .iter()
        .any(|finalizer| finalizer == WORKSPACE_FINALIZER)
}

fn judge<'a>(subject: &Subject<'a>) -> Phase<'a> {
    match validate::wanted(subject) {
        Ok(Wanted::Serving(serving)) => Phase::Serving(Box::new(serving)),
        Ok(Wanted::Tuning(tuned)) => Phase::Tuning(Box::new(tuned)),
        Err(problem) if may_go_on(problem.reason) && workloads::current(subject).is_some() => {
            Phase::Kept(problem)
        }
        Err(problem) => Phase::Refused(problem),
    }
}

// These say something of presets and their registry, nothing of the Workspace.
fn may_go_on(reason: WorkspaceReason) -> bool {
    matches!(
        reason,
        WorkspaceReason::PresetRegistryUnavailable | WorkspaceReason::PresetDeprecated
    )
}

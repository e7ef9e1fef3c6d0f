//! The phase of a Workspace, derived from the cluster in each plan.

use kaito_api::conditions::WorkspaceReason;
use plan::Manifest;

use crate::condition::AnyReason;
use crate::context::PlanContext;
use crate::desired::Desired;
use crate::ladder;
use crate::ledger::Grant;
use crate::problem::Problem;
use crate::{build, claims, retention};

/// The next thing to do for a Workspace.
#[derive(Debug)]
pub(crate) enum Phase<'a> {
    /// It is being deleted, and we hold nothing of it any more.
    Released,
    /// It is being deleted.
    Terminating,
    /// Its tuning has ended, and its nodes are given back.
    Finished,
    /// Its spec is rejected. A running workload stays as it is.
    Rejected(Problem),
    /// Its workload runs, and the current preset is unknown. The workload stays as it is and counts as valid.
    UsingLastKnownPreset(Problem),
    /// Its spec is valid: the desired state and its objects, the workload last.
    Valid(Box<Desired<'a>>, Vec<Manifest>),
}

/// Returns the phase of the Workspace.
pub(crate) fn of<'a>(context: &PlanContext<'a>) -> Phase<'a> {
    match (context.is_live(), context.has_finalizer()) {
        (false, false) => Phase::Released,
        (false, true) => Phase::Terminating,
        (true, _) => of_live(context),
    }
}

fn of_live<'a>(context: &PlanContext<'a>) -> Phase<'a> {
    if retention::is_due(context) {
        return Phase::Finished;
    }
    match valid(context) {
        Ok((desired, manifests)) => Phase::Valid(Box::new(desired), manifests),
        Err(problem) if is_about_presets(problem.reason) && context.workload.is_some() => {
            Phase::UsingLastKnownPreset(problem)
        }
        Err(problem) => Phase::Rejected(problem),
    }
}

fn valid<'a>(context: &PlanContext<'a>) -> Result<(Desired<'a>, Vec<Manifest>), Problem> {
    let desired = ladder::desired(context)?;
    claims::check_names(context, desired.nodes)?;
    // Nothing runs yet, so the Workspace waits. A workload that runs keeps the nodes that it has. Claims of another type are
    // given back first, which may make room.
    if let (Grant::Refused(refusal), None) = (&context.observed.grant, context.workload)
        && ladder::of_other_type(context, &desired).next().is_none()
    {
        return Err(refusal.problem());
    }
    let manifests = build::manifests(context, &desired);
    build::check_names(context, &manifests)?;
    Ok((desired, manifests))
}

// These reasons concern presets and their registry, or a ConfigMap that was not read yet, not the Workspace.
fn is_about_presets(reason: AnyReason) -> bool {
    matches!(
        reason,
        AnyReason::Workspace(
            WorkspaceReason::PresetRegistryUnavailable
                | WorkspaceReason::PresetLookupPending
                | WorkspaceReason::PresetDeprecated
                | WorkspaceReason::ConfigMapPending
        )
    )
}

//! Progress of the workload, as the conditions `InferenceReady` and `JobStarted`.
//!
//! A workload that this plan creates counts as created. So the next plan has nothing new to report.

use kaito_api::conditions::{WorkspaceConditionType, WorkspaceReason};

use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::pods;
use crate::problem::Problem;
use crate::weights;
use crate::workload::{JobProgress, Workload};

/// True if the model is served. `refused` is the reason for which an object of it could not be created.
pub(super) fn inference(
    context: &PlanContext<'_>,
    nodes_ready: bool,
    refused: Option<&Problem>,
) -> ConditionUpdate {
    let pending = |cause: &str| ConditionUpdate::unmet(WorkspaceReason::InferencePending, cause);
    if let Some(refused) = refused {
        return refused.condition();
    }
    match context.workload {
        Some(workload) if workload.is_serving() => ConditionUpdate::met(
            WorkspaceReason::InferenceReady,
            format!("The model answers at Service {}.", context.workspace().name()),
        ),
        Some(Workload::Job(_)) | None if !nodes_ready => {
            pending("the model is deployed when its nodes are ready")
        }
        Some(_) | None => match pods::problem(context) {
            Some(problem) => problem.condition(),
            None => pending(weights::awaited(context).unwrap_or("the model is being loaded")),
        },
    }
}

/// True if the tuning Job has started. `refused` is the reason for which an object of it could not be created.
pub(super) fn job(
    context: &PlanContext<'_>,
    nodes_ready: bool,
    refused: Option<&Problem>,
) -> ConditionUpdate {
    let started = |message: &str| ConditionUpdate::met(WorkspaceReason::JobStarted, message);
    let pending = |cause: &str| ConditionUpdate::unmet(WorkspaceReason::JobPending, cause);
    if let Some(refused) = refused {
        return refused.condition();
    }
    match context.job_progress {
        JobProgress::Absent if !nodes_ready => pending("the Job is created when its node is ready"),
        JobProgress::Absent | JobProgress::Pending => match pods::problem(context) {
            Some(problem) => problem.condition(),
            None => pending("the Job's pod is starting"),
        },
        JobProgress::Running => match (
            pods::retried_push(context),
            pods::problem(context),
            pods::running(context),
        ) {
            (Some(problem), ..) | (None, Some(problem), None) => problem.condition(),
            (None, _, Some(step)) => started(&format!("The tuning Job runs container {step}.")),
            (None, None, None) => started("The tuning Job runs."),
        },
        JobProgress::Succeeded => match pods::pushed(context) {
            Some(reference) => started(&format!("The tuning Job succeeded and pushed {reference}.")),
            None => started(earlier_push(context).unwrap_or("The tuning Job succeeded.")),
        },
        JobProgress::Failed => match pods::refused_push(context) {
            Some(problem) => problem.condition(),
            None => ConditionUpdate::unmet(WorkspaceReason::JobFailed, failure(context)),
        },
    }
}

/// The earlier message, if it names the pushed image: the pod that reported it goes with its node.
fn earlier_push<'a>(context: &PlanContext<'a>) -> Option<&'a str> {
    let kind = WorkspaceConditionType::JobStarted.as_str();
    let earlier = context
        .conditions()
        .iter()
        .find(|condition| condition.type_ == kind)?;
    let is_push = earlier
        .message
        .starts_with("The tuning Job succeeded and pushed ");
    is_push.then_some(earlier.message.as_str())
}

fn failure(context: &PlanContext<'_>) -> String {
    let status = context.job().and_then(|job| job.status.as_ref());
    let mut conditions = status
        .into_iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let failed = conditions.find(|condition| condition.type_ == "Failed");
    let step = pods::failed_step(context);
    match (step, failed.and_then(|condition| condition.message.as_deref())) {
        (Some(step), _) => format!("the tuning Job failed: {step}"),
        (None, Some(message)) => format!("the tuning Job failed: {message}"),
        (None, None) => "the tuning Job failed".to_owned(),
    }
}

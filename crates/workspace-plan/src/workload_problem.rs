//! Problems that the workload's controller reports: pods that it cannot create, and a deadline that has passed.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::conditions::WorkspaceReason;
use plan::refusal;

use crate::condition::AnyReason;
use crate::context::PlanContext;
use crate::metadata;
use crate::missing::MissingObject;
use crate::problem::Problem;
use crate::warnings::{self, CREATE};
use crate::workload::Workload;

/// Returns the problem that the conditions of the workload report.
pub(crate) fn of(context: &PlanContext<'_>) -> Option<Problem> {
    match context.workload? {
        Workload::Deployment(deployment) => of_deployment(deployment),
        // Their controllers write no such condition, but Events.
        Workload::StatefulSet(set) => {
            let pods = u32::try_from(context.pods.len()).unwrap_or(u32::MAX);
            let lacks_pods = pods < Workload::StatefulSet(set).replicas();
            lacks_pods
                .then(|| warned(context, "StatefulSet", &set.metadata))
                .flatten()
        }
        Workload::Job(job) => {
            let lacks_pods = context.pods.is_empty() && !context.job_progress.is_finished();
            lacks_pods
                .then(|| warned(context, "Job", &job.metadata))
                .flatten()
        }
    }
}

/// Returns the problem that an Event about pods that cannot be created reports.
fn warned(context: &PlanContext<'_>, kind: &str, metadata: &ObjectMeta) -> Option<Problem> {
    let found = warnings::about(context, metadata);
    let (_, text) = found.into_iter().find(|(reason, _)| *reason == CREATE)?;
    Some(not_created(kind, metadata::name(metadata), Some(text)))
}

fn of_deployment(deployment: &Deployment) -> Option<Problem> {
    let name = metadata::name(&deployment.metadata);
    let conditions = deployment.status.as_ref()?.conditions.as_deref()?;
    let find = |type_: &str, status: &str| {
        let is = |condition: &&DeploymentCondition| {
            condition.type_.as_deref() == Some(type_) && condition.status.as_deref() == Some(status)
        };
        conditions.iter().find(is)
    };
    if let Some(failure) = find("ReplicaFailure", "True") {
        return Some(not_created("Deployment", name, failure.message.as_deref()));
    }
    let stalled = find("Progressing", "False")?;
    let is_late = stalled.reason.as_deref() == Some("ProgressDeadlineExceeded");
    let seconds = deployment.spec.progress_deadline_seconds.unwrap_or(600);
    let cause = format!("Deployment {name} made no progress in {seconds} s");
    is_late.then(|| Problem::new(WorkspaceReason::ProgressDeadlineExceeded, cause))
}

/// Returns the problem of an object whose pods the API server refuses, with the part that refuses them as the reason.
pub(crate) fn not_created(kind: &str, name: &str, message: Option<&str>) -> Problem {
    let message = message.unwrap_or_default();
    let missing = MissingObject::in_message(message).into_iter().collect();
    if let Some(problem) = MissingObject::problem(&format!("{kind} {name}"), &missing) {
        return problem;
    }
    let reason = refusal::by_text(message).map_or(
        AnyReason::Workspace(WorkspaceReason::PodsNotCreated),
        AnyReason::RefusedWrite,
    );
    let words = refusal::stable(message);
    Problem::new(
        reason,
        format!("the pods of {kind} {name} cannot be created: {words}"),
    )
}

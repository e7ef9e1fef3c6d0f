//! Problems that the workload's controller reports: pods that it cannot create, and a deadline that has passed.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use kaito_api::conditions::WorkspaceReason;
use plan::refusal;

use crate::condition::AnyReason;
use crate::context::PlanContext;
use crate::metadata;
use crate::problem::Problem;
use crate::workload::Workload;

/// Returns the problem that the conditions of the workload report.
pub(crate) fn of(context: &PlanContext<'_>) -> Option<Problem> {
    match context.workload? {
        Workload::Deployment(deployment) => of_deployment(deployment),
        // Their controllers write no such condition.
        Workload::StatefulSet(_) | Workload::Job(_) => None,
    }
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

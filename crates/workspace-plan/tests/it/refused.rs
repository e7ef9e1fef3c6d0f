//! Refused writes in the status: who refused, what, and what helps. A refusal that lasts is written once.

use plan::{Kind, ObjectRef, Plan, RefusedWrite, Report, Verb, Write};
use serde_json::json;

use crate::case::{Case, actions, condition};
const NAMESPACE: &str = "default";

const QUOTA: &str = "services \"w\" is forbidden: exceeded quota: q, requested: services.loadbalancers=1, used: \
                     services.loadbalancers=0, limited: services.loadbalancers=0";

fn refusal(kind: Kind, name: &str, code: u16, message: &str) -> RefusedWrite {
    let target = ObjectRef {
        kind,
        namespace: (kind != Kind::Machine).then(|| NAMESPACE.to_owned()),
        name: name.to_owned(),
    };
    RefusedWrite::new(Verb::Apply, target, Some(code), message)
}

fn shown(report: Report) -> Plan {
    Plan {
        status: report.status,
        ..Plan::default()
    }
}

fn refusing(kind: Kind, code: u16, message: &'static str) -> impl Fn(&Write) -> Option<RefusedWrite> {
    move |write| {
        let target = write.target();
        (target.kind == kind).then(|| RefusedWrite::new(write.verb(), target, Some(code), message))
    }
}

#[test]
fn a_service_that_a_quota_refuses_is_shown_and_the_model_is_deployed() {
    let case = Case::serving("phi-4").with_nodes(1, 1);
    assert_eq!(
        actions(&case.plan()),
        [
            "apply Machine",
            "apply NetworkPolicy",
            "apply Service",
            "apply ControllerRevision",
            "apply Deployment"
        ]
    );
    let report = case.report(&[refusal(Kind::Service, "w", 403, QUOTA)]);
    let events: Vec<&str> = report.events.iter().map(|event| event.reason).collect();
    assert_eq!(events, ["ResourceQuotaExceeded"]);
    let shown = shown(report);
    let expected = "False/ResourceQuotaExceeded: Service w cannot be written: services \"w\" is forbidden: exceeded \
                    quota: q, requested: services.loadbalancers=1, limited: services.loadbalancers=0. Raise the \
                    ResourceQuota";
    let says = condition(&shown, "InferenceReady");
    assert!(says.starts_with(expected), "{says}");
    let overall = condition(&shown, "WorkspaceReady");
    assert!(
        overall.starts_with("False/workspacePending: ResourceQuotaExceeded: Service w cannot be written"),
        "{overall}"
    );
    let stored = case.stored_but(refusing(Kind::Service, 403, QUOTA));
    assert_eq!(
        stored.report(&[refusal(Kind::Service, "w", 403, QUOTA)]),
        Report::default()
    );
    // The refusal has ended: the status shows the next step.
    let says = condition(&stored.plan(), "InferenceReady");
    assert!(
        says.starts_with("False/WorkspaceInferenceStatusPending"),
        "{says}"
    );
}

#[test]
fn refused_nodes_are_the_reason_that_resources_are_not_ready() {
    let case = Case::serving("phi-4");
    let refusals: Vec<RefusedWrite> = case
        .plan()
        .writes
        .iter()
        .map(|write| {
            RefusedWrite::new(
                write.verb(),
                write.target(),
                Some(400),
                "admission webhook \"a\" denied the request: no",
            )
        })
        .collect();
    let report = case.report(&refusals);
    assert_eq!(report.events.len(), 1, "{:?}", report.events);
    let says = condition(&shown(report), "ResourceReady");
    assert!(
        says.starts_with("False/AdmissionWebhookDenied: Machine ws"),
        "{says}"
    );
}

#[test]
fn a_refused_update_of_a_model_that_answers_is_a_note() {
    let case = Case::serving("phi-4")
        .with_nodes(1, 1)
        .stored()
        .answering()
        .stored();
    let denied = refusal(
        Kind::Deployment,
        "w",
        422,
        "Deployment.apps \"w\" is invalid: spec: no",
    );
    let report = case.report(&[denied]);
    let shown = shown(report);
    let says = condition(&shown, "WorkspaceReady");
    let start = "True/workspaceReady: The model answers. ObjectInvalid: Deployment w cannot be written";
    assert!(says.starts_with(start), "{says}");
    assert!(condition(&shown, "InferenceReady").starts_with("True/"));
}

#[test]
fn words_that_differ_in_numbers_only_are_not_written_again() {
    let case = Case::serving("phi-4").with_nodes(1, 1);
    let at = |time: &str| {
        let message = format!("admission webhook \"a\" denied the request: at {time} request 4f{time}");
        refusal(Kind::Deployment, "w", 400, &message)
    };
    let report = case.report(&[at("10:00:01")]);
    let stored = case.edit(|workspace| {
        workspace.status = serde_json::from_value(report.status.clone().unwrap()).unwrap();
    });
    assert_eq!(stored.report(&[at("10:00:07")]), Report::default());
    let other = refusal(
        Kind::Deployment,
        "w",
        400,
        "admission webhook \"a\" denied the request: by b",
    );
    assert_ne!(stored.report(&[other]), Report::default());
}

#[test]
fn a_refused_release_is_shown_while_the_workspace_is_deleted() {
    let case = Case::serving("phi-4").stored().deleted().edit(|workspace| {
        workspace.metadata.finalizers = Some(vec![kaito_api::labels::WORKSPACE_FINALIZER.to_owned()]);
    });
    let mut case = case;
    case.observed.claims.clear();
    let target = ObjectRef {
        kind: Kind::Workspace,
        namespace: Some(NAMESPACE.to_owned()),
        name: "w".to_owned(),
    };
    let denied = RefusedWrite::new(
        Verb::ReleaseFinalizer,
        target,
        Some(400),
        "admission webhook \"a\" denied the request: no",
    );
    let says = condition(&shown(case.report(&[denied])), "WorkspaceDeleting");
    assert!(
        says.contains("AdmissionWebhookDenied: Workspace w cannot be released"),
        "{says}"
    );
}

#[test]
fn pods_that_cannot_be_created_are_named_with_who_refuses_them() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1).stored();
    let with = |case: &mut Case, conditions: serde_json::Value| {
        let deployment = std::sync::Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
        deployment.status = serde_json::from_value(json!({ "conditions": conditions })).unwrap();
        condition(&case.plan(), "InferenceReady")
    };
    let failure = |message: &str| json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]);
    let says = with(
        &mut case,
        failure(
            "pods \"w-5d-x7k2p\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
        ),
    );
    assert!(
        says.starts_with(
            "False/PodSecurityViolation: the pods of Deployment w cannot be created: violates PodSecurity"
        ),
        "{says}"
    );
    let says = with(&mut case, failure("something odd"));
    assert!(
        says.starts_with("False/PodsNotCreated: the pods of Deployment w"),
        "{says}"
    );
    let late = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
    let says = with(&mut case, late);
    assert!(
        says.starts_with("False/ProgressDeadlineExceeded: Deployment w made no progress in"),
        "{says}"
    );
}

//! Tests of the tree, from facts to text.

use kaito_api::Machine;
use serde_json::{Value, json};

use super::super::text;
use super::*;
use crate::screen::Screen;

fn now() -> Timestamp {
    "2026-01-01T10:10:00Z".parse().unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T10:09:00Z"
    })
}

fn workspace(kind: &str, status: &Value) -> Workspace {
    let mut object = json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
        "metadata": {
            "name": "phi-4", "namespace": "team-a", "generation": 1, "creationTimestamp": "2026-01-01T10:00:00Z",
        },
        "resource": {"instanceType": "Standard_NC24ads_A100_v4"},
        "status": status,
    });
    object[kind] = json!({"preset": {"name": "phi-4-mini-instruct"}});
    serde_json::from_value(object).unwrap()
}

fn claim(launched: &Value) -> Claim {
    let machine: Machine = serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine",
        "metadata": {"name": "ws012345678", "creationTimestamp": "2026-01-01T10:00:02Z"},
        "spec": {"requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
        ]},
        "status": {"nodeName": "aks-1", "conditions": [launched]},
    }))
    .unwrap();
    machine.into()
}

fn pod(container: &Value) -> k8s_openapi::api::core::v1::Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "phi-4-0"},
        "spec": {"nodeName": "aks-1", "initContainers": [{"name": "weights"}], "containers": [{"name": "vllm"}]},
        "status": {"initContainerStatuses": [container]},
    }))
    .unwrap()
}

fn shown(facts: &WorkspaceFacts) -> (StatusView, String) {
    let view = StatusView::of(facts, now());
    let text = text::tree(&view, Screen::PLAIN);
    (view, text)
}

#[test]
fn a_download_says_how_far_it_is() {
    let status = json!({
        "state": "Pending", "reason": "WorkspaceInferenceStatusPending", "targetNodeCount": 1, "observedGeneration": 1,
        "model": "phi-4-mini-instruct", "workerNodes": ["aks-1"],
        "coldStart": {
            "claimed": "2026-01-01T10:00:02Z", "launched": "2026-01-01T10:03:00Z", "registered": "2026-01-01T10:04:00Z",
            "initialized": "2026-01-01T10:04:10Z", "scheduled": "2026-01-01T10:04:12Z", "usdPerHour": "3.68",
        },
        "conditions": [condition("InferenceReady", "False", "WorkspaceInferenceStatusPending", "the weights are being downloaded")],
    });
    let running = json!({
        "name": "weights", "state": {"running": {}}, "ready": false, "restartCount": 0, "image": "", "imageID": "",
    });
    let launched = condition("MachineLaunched", "True", "Done", "");
    let facts = WorkspaceFacts {
        workspace: workspace("inference", &status),
        claims: Some(vec![claim(&launched)]),
        pods: vec![pod(&running)],
        downloads: [(
            "phi-4-0".to_owned(),
            "fetched 3.1 GiB of 7.2 GiB (200 MiB/s)".to_owned(),
        )]
        .into(),
        notes: Vec::new(),
    };
    let (view, text) = shown(&facts);
    assert!(!view.is_settled());
    assert_eq!(
        text,
        "\
Workspace team-a/phi-4: Pending, 1 of 1 nodes
Model     phi-4-mini-instruct
Cost      $3.67 an hour at list price, about $0.06 so far
✓ claims                       2 s
✓ instances             2 min 58 s
✓ nodes                  1 min 0 s
✓ device plugins              10 s
    ws012345678 Standard_NC24ads_A100_v4 $3.67/h node aks-1
✓ pods                         2 s
● weights               5 min 48 s  fetched 3.1 GiB of 7.2 GiB (200 MiB/s)
    phi-4-0 on aks-1: weights running
○ images
○ load, first answer
WorkspaceInferenceStatusPending: the weights are being downloaded
"
    );
    assert_eq!(
        text::line(&view),
        "team-a/phi-4 Pending  weights: fetched 3.1 GiB of 7.2 GiB (200 MiB/s)  \
         WorkspaceInferenceStatusPending: the weights are being downloaded"
    );
    let later = StatusView::of(&facts, now() + jiff::SignedDuration::from_mins(5));
    assert_ne!(view, later);
    assert_eq!(text::change(&view).unwrap(), text::change(&later).unwrap());
}

#[test]
fn a_missing_quota_has_a_remedy() {
    let message = "no quota for 24 vCPUs";
    let status = json!({
        "state": "Pending", "reason": "SubscriptionQuotaReached", "targetNodeCount": 1, "observedGeneration": 1,
        "coldStart": {"claimed": "2026-01-01T10:00:02Z"},
        "conditions": [condition("ResourceReady", "False", "SubscriptionQuotaReached", message)],
    });
    let refused = condition("MachineLaunched", "False", "SubscriptionQuotaReached", message);
    let facts = WorkspaceFacts {
        workspace: workspace("inference", &status),
        claims: Some(vec![claim(&refused)]),
        ..WorkspaceFacts::default()
    };
    let (view, text) = shown(&facts);
    assert_eq!((view.cost.nodes, view.cost.usd_micros_per_hour), (0, 0));
    for part in [
        "✗ instances             9 min 58 s\n    ws012345678 Standard_NC24ads_A100_v4 $3.67/h node aks-1 SubscriptionQuotaReached: no quota",
        "○ first",
        "SubscriptionQuotaReached: no quota for 24 vCPUs\nRemedy: Ask for more quota",
    ] {
        let part = part.replace("○ first", "○ nodes");
        assert!(text.contains(&part), "{part}\n{text}");
    }
}

#[test]
fn a_phase_that_was_not_needed_is_left_out() {
    let status = json!({
        "state": "Ready", "targetNodeCount": 1, "observedGeneration": 1, "workerNodes": ["mine"],
        "coldStart": {"scheduled": "2026-01-01T10:00:02Z", "started": "2026-01-01T10:00:12Z", "ready": "2026-01-01T10:00:22Z"},
        "conditions": [condition("WorkspaceSucceeded", "True", "workspaceSucceeded", "The model answers.")],
    });
    let mut own = workspace("inference", &status);
    own.spec.resource = None;
    let facts = WorkspaceFacts {
        workspace: own,
        claims: Some(Vec::new()),
        ..WorkspaceFacts::default()
    };
    let (view, text) = shown(&facts);
    assert!(view.is_settled_well());
    let names: Vec<&str> = view.phases.iter().map(|line| line.phase.name()).collect();
    assert_eq!(names, ["pods", "images", "load, first answer"]);
    assert!(
        !text.contains("Cost") && !text.contains("The model answers."),
        "{text}"
    );
}

#[test]
fn a_tuning_ends_with_its_job() {
    let status = |state: &str, succeeded: &str| {
        json!({
            "state": state, "targetNodeCount": 1, "observedGeneration": 1,
            "coldStart": {"claimed": "2026-01-01T10:00:02Z", "started": "2026-01-01T10:01:12Z"},
            "conditions": [condition("WorkspaceSucceeded", succeeded, "r", "The tuning is done.")],
        })
    };
    let facts = |state, succeeded| WorkspaceFacts {
        workspace: workspace("tuning", &status(state, succeeded)),
        ..WorkspaceFacts::default()
    };
    let (view, text) = shown(&facts("Succeeded", "True"));
    assert!(
        view.is_settled_well() && text.contains("✓ tuning                7 min 48 s"),
        "{text}"
    );
    let (_, text) = shown(&facts("Running", "False"));
    assert!(text.contains("● tuning                8 min 48 s"), "{text}");
    let (view, text) = shown(&facts("Failed", "False"));
    assert!(
        view.is_settled() && !view.is_settled_well() && text.contains("○ tuning"),
        "{text}"
    );
}

#[test]
fn nothing_is_known_yet() {
    let facts = WorkspaceFacts {
        workspace: workspace("inference", &Value::Null),
        notes: vec!["You may not list machines, so they are left out.".to_owned()],
        ..WorkspaceFacts::default()
    };
    let (view, text) = shown(&facts);
    assert_eq!(view.state, "New");
    assert!(
        text.contains("Does workspace-controller run?") && text.contains("Note: You may not list machines"),
        "{text}"
    );
}

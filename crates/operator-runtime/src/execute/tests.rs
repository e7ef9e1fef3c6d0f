//! Requests that follow from a plan, and the meaning of the responses.

use kaito_api::{Machine, MachineSpec};
use plan::{Event, FailureClass, Finalizer, Kind, NoCloud, ObjectRef, Write};
use serde_json::json;

use super::fixtures::*;
use super::*;
use crate::testing::{lines, refusal, serve, written};

#[tokio::test]
async fn everything_happens_in_the_plans_order() {
    let plan = Plan {
        finalizer: Finalizer::Release(FINALIZER),
        writes: vec![config_map(), delete(), patch(), evict("p")],
        status: Some(json!({ "conditions": [] })),
        events: vec![Event::normal("Deleted", "gone")],
        ..Plan::default()
    };
    let ran = run(&[FINALIZER], plan, (1..8).map(written).collect()).await;
    assert_eq!(
        ran.lines(),
        [
            "PATCH /api/v1/namespaces/ns/configmaps/c",
            "DELETE /api/v1/namespaces/ns/pods/p",
            "PATCH /api/v1/nodes/n",
            "POST /api/v1/namespaces/ns/pods/p/eviction",
            "PATCH /apis/karpenter.sh/v1alpha5/machines/m/status",
            "PATCH /apis/karpenter.sh/v1alpha5/machines/m",
            "POST /apis/events.k8s.io/v1/namespaces/default/events",
        ]
    );
    let gone = PendingWrite::Deleted {
        target: pod(),
        uid: "u2".to_owned(),
    };
    let at = |kind, version| PendingWrite::Version { kind, version };
    assert_eq!(
        ran.writes,
        [
            at(Kind::ConfigMap, 1),
            gone.clone(),
            at(Kind::Node, 3),
            gone,
            at(Kind::Machine, 5),
            at(Kind::Machine, 6)
        ]
    );
}

#[tokio::test]
async fn the_cloud_is_called_between_writes_and_status() {
    let (client, log) = serve(|_| Some(written(1)));
    let executor = Executor::new(&elected(client));
    let meta = meta(&[]);
    let reconciled = ReconciledObject {
        target: ObjectRef {
            kind: Kind::Machine,
            namespace: None,
            name: "m".to_owned(),
        },
        meta: &meta,
        failures: 0,
    };
    let plan = Plan {
        writes: vec![config_map()],
        cloud: Some("create"),
        status: Some(json!({})),
        requeue: Some(Duration::from_secs(30)),
        ..Plan::default()
    };
    let requests = std::sync::Arc::clone(&log);
    let call = |asked| async move {
        assert_eq!((asked, lines(&requests).len()), ("create", 1));
        Ok(Some(Duration::from_secs(3)))
    };
    let executed = executor
        .execute(&reconciled, plan, call, shown, &mut Vec::new())
        .await
        .unwrap();
    assert_eq!(
        executed,
        Executed {
            requeue: Some(Duration::from_secs(3)),
            blocked: false
        }
    );
    assert_eq!(lines(&log).len(), 2);
}

#[tokio::test]
async fn an_apply_is_forced_under_the_programs_name_and_leaves_status_alone() {
    let mut machine = Machine::new("m1", MachineSpec::default());
    machine.status = Some(kaito_api::MachineStatus::default());
    let ran = run(
        &[],
        writes(vec![Write::Apply(Box::new(machine.into()))]),
        vec![written(9)],
    )
    .await;
    let seen = ran.seen(0);
    assert_eq!(seen.content_type, "application/apply-patch+yaml");
    assert!(
        seen.query.contains("force=true") && seen.query.contains("fieldManager=tester"),
        "{}",
        seen.query
    );
    assert_eq!(
        (&seen.body["kind"], &seen.body["apiVersion"]),
        (&json!("Machine"), &json!("karpenter.sh/v1alpha5"))
    );
    assert!(seen.body.get("status").is_none());
}

#[tokio::test]
async fn a_deletion_means_one_uid() {
    let ran = run(&[], writes(vec![delete()]), vec![written(9)]).await;
    let body = ran.seen(0).body;
    assert_eq!(body["preconditions"], json!({ "uid": "u2" }));
    assert_eq!(
        (&body["propagationPolicy"], &body["gracePeriodSeconds"]),
        (&json!("Foreground"), &json!(0))
    );
    let Write::Delete(mut versioned) = delete() else {
        panic!("a deletion")
    };
    versioned.resource_version = Some("7".to_owned());
    let ran = run(&[], writes(vec![Write::Delete(versioned)]), vec![written(9)]).await;
    let expected = json!({ "uid": "u2", "resourceVersion": "7" });
    assert_eq!(ran.seen(0).body["preconditions"], expected);
    for code in [404, 409] {
        let ran = run(&[], writes(vec![delete()]), vec![refusal(code)]).await;
        assert!(ran.result.is_ok() && ran.writes.is_empty(), "{code}");
    }
    assert_eq!(
        run(&[], writes(vec![delete()]), vec![refusal(403), written(9)])
            .await
            .class(),
        FailureClass::Denied
    );
}

#[tokio::test]
async fn a_patch_is_locked_to_the_version_observed() {
    let ran = run(&[], writes(vec![patch()]), vec![written(42)]).await;
    let seen = ran.seen(0);
    assert_eq!(seen.content_type, "application/merge-patch+json");
    assert_eq!(
        seen.body["metadata"],
        json!({ "labels": { "a": "b" }, "resourceVersion": "41" })
    );
    for code in [404, 409] {
        assert_eq!(
            run(&[], writes(vec![patch()]), vec![refusal(code)]).await.class(),
            FailureClass::Conflict,
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_patch_that_is_no_object_is_never_sent() {
    let Write::Patch(mut wanted) = patch() else {
        unreachable!()
    };
    wanted.body = json!([]);
    let ran = run(&[], writes(vec![Write::Patch(wanted)]), vec![written(9)]).await;
    assert_eq!(ran.class(), FailureClass::Bug);
    assert_eq!(
        ran.lines(),
        ["PATCH /apis/karpenter.sh/v1alpha5/machines/m/status"]
    );
}

#[tokio::test]
async fn a_refused_eviction_holds_up_no_other() {
    let answers = vec![refusal(429), written(1), refusal(404), refusal(409)];
    let ran = run(&[], writes(["a", "b", "c", "d"].map(evict).into()), answers).await;
    assert_eq!(
        ran.result.as_ref().unwrap(),
        &Executed {
            requeue: Some(BLOCKED_RETRY),
            blocked: true
        }
    );
    assert_eq!(ran.lines().len(), 4);
    assert_eq!(ran.writes.len(), 1);
    let body = ran.seen(0).body;
    assert_eq!(
        (&body["kind"], &body["apiVersion"]),
        (&json!("Eviction"), &json!("policy/v1"))
    );
    assert_eq!(body["deleteOptions"], json!({ "preconditions": { "uid": "u2" } }));
}

#[tokio::test]
async fn status_is_applied_to_the_object_of_this_uid() {
    let plan = || Plan {
        status: Some(json!({ "phase": "x" })),
        ..Plan::default()
    };
    let ran = run(&[], plan(), vec![written(9)]).await;
    let seen = ran.seen(0);
    assert!(seen.query.contains("force=true") && seen.query.contains("fieldManager=tester"));
    assert_eq!(seen.body["metadata"], json!({ "name": "m", "uid": "u1" }));
    assert_eq!(seen.body["status"], json!({ "phase": "x" }));
    assert!(run(&[], plan(), vec![refusal(404)]).await.result.is_ok());
    assert_eq!(
        run(&[], plan(), vec![refusal(409)]).await.class(),
        FailureClass::Conflict
    );
}

#[tokio::test]
async fn a_finalizer_is_added_to_the_others_once() {
    let plan = || Plan {
        finalizer: Finalizer::Ensure(FINALIZER),
        ..Plan::default()
    };
    let ran = run(&["theirs"], plan(), vec![written(8)]).await;
    let wanted = json!({ "metadata": { "resourceVersion": "7", "finalizers": ["theirs", FINALIZER] } });
    assert_eq!(ran.seen(0).body, wanted);
    assert_eq!(
        ran.writes,
        [PendingWrite::Version {
            kind: Kind::Machine,
            version: 8
        }]
    );
    assert!(run(&[FINALIZER], plan(), vec![]).await.lines().is_empty());
    assert_eq!(
        run(&[], plan(), vec![refusal(409)]).await.class(),
        FailureClass::Conflict
    );
}

#[tokio::test]
async fn a_finalizer_is_removed_by_place_and_uid() {
    let plan = || Plan {
        finalizer: Finalizer::Release(FINALIZER),
        ..Plan::default()
    };
    let ran = run(&["theirs", FINALIZER], plan(), vec![written(8)]).await;
    let seen = ran.seen(0);
    assert_eq!(seen.content_type, "application/json-patch+json");
    assert_eq!(
        seen.body,
        json!([
            { "op": "test", "path": "/metadata/uid", "value": "u1" },
            { "op": "test", "path": "/metadata/finalizers/1", "value": FINALIZER },
            { "op": "remove", "path": "/metadata/finalizers/1" },
        ])
    );
    assert!(run(&["theirs"], plan(), vec![]).await.lines().is_empty());
    assert!(run(&[FINALIZER], plan(), vec![refusal(404)]).await.result.is_ok());
    assert_eq!(
        run(&[FINALIZER], plan(), vec![refusal(422)]).await.class(),
        FailureClass::Conflict
    );
}

#[tokio::test]
async fn a_refused_write_holds_up_no_other_and_is_shown_in_the_status() {
    let plan = Plan {
        finalizer: Finalizer::Release(FINALIZER),
        writes: vec![config_map(), delete(), config_map()],
        status: Some(json!({ "all": "done" })),
        events: vec![Event::normal("Done", "done")],
        ..Plan::default()
    };
    let answers = vec![written(1), refusal(403), written(2), written(3)];
    let ran = run(&[FINALIZER], plan, answers).await;
    assert_eq!(
        ran.lines(),
        [
            "PATCH /api/v1/namespaces/ns/configmaps/c",
            "DELETE /api/v1/namespaces/ns/pods/p",
            "PATCH /api/v1/namespaces/ns/configmaps/c",
            "PATCH /apis/karpenter.sh/v1alpha5/machines/m/status",
        ]
    );
    let shown = ran.seen(3).body["status"]["refused"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        shown.starts_with("AdmissionDenied: Pod p cannot be deleted: refused by the script"),
        "{shown}"
    );
    assert_eq!((ran.class(), ran.writes.len()), (FailureClass::Denied, 3));
    let message = ran.result.unwrap_err().to_string();
    assert_eq!(message, "delete Pod ns/p: refused by the script (403)");
}

#[tokio::test]
async fn an_unavailable_server_gets_no_more_writes_and_no_status() {
    let plan = Plan {
        writes: vec![config_map(), config_map(), config_map()],
        status: Some(json!({})),
        events: vec![Event::warning("No", "no")],
        ..Plan::default()
    };
    let ran = run(&[], plan, vec![written(1), refusal(503)]).await;
    assert_eq!(
        (ran.class(), ran.lines().len(), ran.writes.len()),
        (FailureClass::Transient, 2, 1)
    );
    let message = ran.result.unwrap_err().to_string();
    assert_eq!(message, "apply ConfigMap ns/c: refused by the script (503)");
}

#[tokio::test]
async fn nothing_is_written_without_our_finalizer() {
    let plan = Plan {
        finalizer: Finalizer::Ensure(FINALIZER),
        writes: vec![config_map()],
        status: Some(json!({})),
        ..Plan::default()
    };
    let ran = run(&[], plan, vec![refusal(403), written(2)]).await;
    assert_eq!(
        ran.lines(),
        [
            "PATCH /apis/karpenter.sh/v1alpha5/machines/m",
            "PATCH /apis/karpenter.sh/v1alpha5/machines/m/status",
        ]
    );
    assert_eq!(ran.class(), FailureClass::Denied);
}

#[tokio::test]
async fn an_event_that_is_refused_fails_nothing() {
    let plan = Plan {
        events: vec![Event::normal("Fine", "fine")],
        ..Plan::default()
    };
    let ran = run(&[], plan, vec![refusal(403)]).await;
    assert!(ran.result.is_ok());
    assert_eq!(
        ran.lines(),
        ["POST /apis/events.k8s.io/v1/namespaces/default/events"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_not_waited_for_for_ever() {
    let (client, _log) = serve(|_| None);
    let executor = Executor::new(&elected(client));
    let meta = meta(&[]);
    let reconciled = ReconciledObject {
        target: pod(),
        meta: &meta,
        failures: 0,
    };
    let began = tokio::time::Instant::now();
    let call = |call: NoCloud| async move { match call {} };
    let error = executor
        .execute(
            &reconciled,
            writes(vec![config_map()]),
            call,
            shown,
            &mut Vec::new(),
        )
        .await
        .unwrap_err();
    assert_eq!(
        (error.label(), error.class()),
        ("timeout", FailureClass::Transient)
    );
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

//! Good plans pass; every rule is broken once.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::check;
use plan::{
    Delete, Event, Evict, Finalizer, Kind, Manifest, MergePatch, NoCloud, ObjectRef, Plan, Propagation, Write,
};

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "namespace": "default",
        "labels": {"kaito.sh/workspace": "w"},
        "ownerReferences": [
            {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": "w", "uid": "u", "controller": true}
        ],
    })
}

fn container() -> Value {
    json!({
        "name": "w",
        "image": "i",
        "ports": [{"containerPort": 5000, "name": "http"}],
        "env": [{"name": "A", "value": "1"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 5000}},
        "livenessProbe": {"httpGet": {"path": "/health", "port": "http"}},
        "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "2Gi"}, "requests": {"memory": "1Gi"}},
        "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

fn pod() -> Value {
    json!({
        "containers": [container()],
        "initContainers": [{
            "name": "puller",
            "image": "i",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
        "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}],
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
    })
}

fn deployment() -> Value {
    json!({
        "metadata": metadata("w"),
        "spec": {
            "selector": {"matchLabels": {"app": "w"}},
            "template": {"metadata": {"labels": {"app": "w", "more": "x"}}, "spec": pod()},
        },
    })
}

fn parse<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn apply(manifest: Manifest) -> Plan {
    Plan {
        writes: vec![Write::Apply(Box::new(manifest))],
        ..Plan::default()
    }
}

/// The same object with one value set to something else, or taken away (`null`).
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap() {
        Value::Object(map) if value.is_null() => drop(map.remove(key)),
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        other => panic!("{other}"),
    }
    object
}

#[track_caller]
fn good(plan: &Plan) {
    assert_eq!(check(plan), []);
}

#[track_caller]
fn bad(plan: &Plan, what: &str) {
    let violations = check(plan);
    assert!(
        violations.iter().any(|v| v.what.contains(what)),
        "{what}: {violations:?}"
    );
}

fn pod_ref() -> ObjectRef {
    ObjectRef {
        kind: Kind::Pod,
        namespace: Some("default".into()),
        name: "p".into(),
    }
}

fn delete(uid: &str, target: ObjectRef) -> Write {
    Write::Delete(Delete {
        target,
        uid: uid.into(),
        resource_version: None,
        propagation: Propagation::Background,
        grace_seconds: None,
    })
}

fn patch(version: &str, body: Value) -> Plan {
    let target = ObjectRef {
        kind: Kind::Node,
        namespace: None,
        name: "n".into(),
    };
    let patch = MergePatch {
        target,
        resource_version: version.into(),
        body,
    };
    Plan {
        writes: vec![Write::Patch(patch)],
        ..Plan::default()
    }
}

#[test]
fn an_empty_plan_and_a_whole_deployment_are_good() {
    good(&Plan::default());
    good(&apply(Manifest::Deployment(parse(deployment()))));
}

#[test]
fn deployments_that_the_api_server_or_pod_security_refuses() {
    let pod = "/spec/template/spec";
    let first = "/spec/template/spec/containers/0";
    for (pointer, value, what) in [
        ("/metadata/name".to_owned(), json!("W_1"), "name"),
        ("/metadata/namespace".into(), Value::Null, "expected a namespace"),
        (
            "/metadata/ownerReferences".into(),
            Value::Null,
            "0 controller owners",
        ),
        ("/metadata/ownerReferences/0/uid".into(), json!(""), "incomplete"),
        ("/metadata/labels".into(), json!({"a b": "x"}), "label key"),
        (
            "/metadata/labels".into(),
            json!({"a": "x".repeat(64)}),
            "of label a",
        ),
        (
            "/metadata/annotations".into(),
            json!({"a/b/c": ""}),
            "annotation key",
        ),
        (
            "/spec/selector/matchLabels".into(),
            json!({}),
            "selector is empty",
        ),
        (
            "/spec/selector/matchLabels/app".into(),
            json!("other"),
            "the template lacks",
        ),
        (format!("{pod}/restartPolicy"), json!("Never"), "restartPolicy"),
        (format!("{pod}/containers"), json!([]), "no containers"),
        (
            format!("{pod}/containers"),
            json!([container(), container()]),
            "container w twice",
        ),
        (format!("{pod}/hostNetwork"), json!(true), "hostNetwork"),
        (
            format!("{pod}/securityContext/runAsNonRoot"),
            Value::Null,
            "runAsNonRoot",
        ),
        (
            format!("{pod}/securityContext/seccompProfile/type"),
            json!("Unconfined"),
            "seccompProfile",
        ),
        (
            format!("{pod}/initContainers/0/securityContext"),
            Value::Null,
            "allowPrivilegeEscalation",
        ),
        (
            format!("{pod}/volumes"),
            json!([{"name": "dshm", "hostPath": {"path": "/"}}]),
            "forbidden kind",
        ),
        (format!("{pod}/volumes"), json!([]), "unknown volume"),
        (
            format!("{pod}/volumes"),
            json!([{"name": "dshm"}, {"name": "dshm"}]),
            "volume dshm twice",
        ),
        (format!("{first}/name"), json!("W"), "must be a DNS label"),
        (format!("{first}/image"), json!(""), "no image"),
        (format!("{first}/ports/0/name"), json!("80"), "port name"),
        (format!("{first}/ports/0/containerPort"), json!(0), "port 0"),
        (
            format!("{first}/ports/0/containerPort"),
            json!(5001),
            "undeclared port",
        ),
        (
            format!("{first}/readinessProbe"),
            json!({"periodSeconds": 1}),
            "exactly one way",
        ),
        (
            format!("{first}/env"),
            json!([{"name": "A"}, {"name": "A"}]),
            "variable A twice",
        ),
        (
            format!("{first}/resources/limits/memory"),
            json!("2Gib"),
            "quantity",
        ),
        (
            format!("{first}/resources/limits/memory"),
            json!("1Mi"),
            "over the limit",
        ),
        (
            format!("{first}/resources/requests"),
            json!({"a.b/gpu": "1"}),
            "differ",
        ),
        (
            format!("{first}/securityContext/capabilities"),
            Value::Null,
            "must be dropped",
        ),
        (
            format!("{first}/securityContext/capabilities/add"),
            json!(["SYS_ADMIN"]),
            "are added",
        ),
        (
            format!("{first}/securityContext/privileged"),
            json!(true),
            "privileged",
        ),
        (
            format!("{first}/securityContext/runAsUser"),
            json!(0),
            "runAsUser 0",
        ),
    ] {
        bad(
            &apply(Manifest::Deployment(parse(with(deployment(), &pointer, value)))),
            what,
        );
    }
}

#[test]
fn other_kinds() {
    let service = json!({"metadata": metadata("w"), "spec": {"ports": [{"port": 80}]}});
    good(&apply(Manifest::Service(parse(service.clone()))));
    bad(
        &apply(Manifest::Service(parse(with(
            service.clone(),
            "/metadata/name",
            json!("1w"),
        )))),
        "name",
    );
    let two = json!([{"port": 80}, {"port": 81}]);
    bad(
        &apply(Manifest::Service(parse(with(service, "/spec/ports", two)))),
        "has no name",
    );

    let policy = json!({"metadata": metadata("w"), "spec": {"podSelector": {"matchLabels": {"a": "b"}}}});
    good(&apply(Manifest::NetworkPolicy(parse(policy.clone()))));
    bad(
        &apply(Manifest::NetworkPolicy(parse(with(
            policy,
            "/spec/podSelector",
            json!({}),
        )))),
        "selector is empty",
    );

    let map = json!({"metadata": metadata("w"), "data": {"a.yaml": ""}});
    good(&apply(Manifest::ConfigMap(parse(map.clone()))));
    bad(
        &apply(Manifest::ConfigMap(parse(with(map, "/data", json!({"a/b": ""}))))),
        "key",
    );

    let job = json!({"metadata": metadata("w"), "spec": {"template": {"spec": with(pod(), "/restartPolicy", json!("Never"))}}});
    good(&apply(Manifest::Job(parse(job.clone()))));
    bad(
        &apply(Manifest::Job(parse(with(
            job,
            "/spec/template/spec/restartPolicy",
            Value::Null,
        )))),
        "restartPolicy",
    );

    let name = "w".repeat(53);
    let set = with(deployment(), "/metadata/name", json!(name));
    bad(
        &apply(Manifest::StatefulSet(parse(with(
            set,
            "/spec/serviceName",
            json!("w"),
        )))),
        "name",
    );

    let machine = json!({
        "metadata": {"name": "ws0"},
        "spec": {
            "requirements": [{"key": "a/b", "operator": "In", "values": ["x"]}],
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
            "resources": {"requests": {"storage": "80Gi"}},
        },
    });
    good(&apply(Manifest::Machine(parse(machine.clone()))));
    for (pointer, value, what) in [
        ("/metadata/namespace", json!("default"), "cluster-scoped"),
        ("/spec/requirements/0/operator", json!("Is"), "requirement a/b"),
        ("/spec/taints/0/effect", json!("Never"), "taint effect"),
        ("/spec/resources/requests/storage", json!("80GiB"), "quantity"),
    ] {
        bad(
            &apply(Manifest::Machine(parse(with(machine.clone(), pointer, value)))),
            what,
        );
    }
}

#[test]
fn deletions_and_evictions_name_what_they_mean() {
    let evict = |uid: &str| {
        Write::Evict(Evict {
            namespace: "default".into(),
            name: "p".into(),
            uid: uid.into(),
        })
    };
    let one = |write: Write| Plan {
        writes: vec![write],
        ..Plan::default()
    };
    good(&one(delete("u", pod_ref())));
    good(&one(evict("u")));
    bad(&one(delete("", pod_ref())), "expected a UID");
    bad(&one(evict("")), "expected a UID");
    bad(
        &one(delete(
            "u",
            ObjectRef {
                namespace: None,
                ..pod_ref()
            },
        )),
        "expected a namespace",
    );
}

#[test]
fn patches() {
    good(&patch(
        "1",
        json!({"metadata": {"labels": {"a": "b", "gone": null}}}),
    ));
    bad(
        &patch("", json!({"metadata": {"labels": {"a": "b"}}})),
        "expected a resource version",
    );
    bad(&patch("1", json!({})), "changes nothing");
    bad(
        &patch("1", json!({"metadata": {"resourceVersion": "1"}})),
        "resourceVersion",
    );
    bad(&patch("1", json!({"status": {}})), "/status");
    bad(
        &patch("1", json!({"metadata": {"labels": {"a": "b c"}}})),
        "in /metadata/labels",
    );
}

#[test]
fn writes_that_do_not_go_together() {
    let map = || Manifest::ConfigMap(parse(json!({"metadata": metadata("w")})));
    let target = map().target();
    let both = |a: Write, b: Write| Plan {
        writes: vec![a, b],
        ..Plan::<NoCloud>::default()
    };
    let applied = || Write::Apply(Box::new(map()));
    bad(&both(applied(), applied()), "applied twice");
    bad(&both(applied(), delete("u", target)), "applied and deleted");
    bad(
        &both(delete("u", pod_ref()), delete("u", pod_ref())),
        "deleted twice",
    );
}

#[test]
fn release_is_the_last_thing() {
    let release = |writes, cloud| Plan::<()> {
        finalizer: Finalizer::Release("a/b"),
        writes,
        cloud,
        ..Plan::default()
    };
    let whats = |plan: &Plan<()>| {
        check(plan)
            .into_iter()
            .map(|v| v.what)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(whats(&release(vec![delete("u", pod_ref())], None)), "");
    assert!(whats(&release(vec![], Some(()))).contains("call to the cloud"));
    let map = Manifest::ConfigMap(parse(json!({"metadata": metadata("w")})));
    assert!(whats(&release(vec![Write::Apply(Box::new(map))], None)).contains("new work"));
    bad(
        &Plan {
            finalizer: Finalizer::Ensure("a b"),
            ..Plan::default()
        },
        "must be a qualified name",
    );
}

#[test]
fn conditions_and_events() {
    let status = |conditions: Value| Plan {
        status: Some(json!({"conditions": conditions})),
        ..Plan::default()
    };
    let one = json!({"type": "Ready", "status": "True"});
    good(&status(json!([one])));
    bad(&status(json!([one, one])), "twice");
    bad(&status(json!([{"type": "Ready", "status": "Maybe"}])), "status");
    bad(
        &status(json!([{"type": "Ready", "status": "True", "reason": ""}])),
        "reason",
    );
    bad(
        &status(json!([{"type": "Ready", "status": "False"}])),
        "expected a reason",
    );
    bad(
        &status(json!([{"type": "Ready", "status": "True", "lastTransitionTime": "now"}])),
        "must be a time",
    );
    bad(
        &Plan {
            events: vec![Event::normal("a b", "x")],
            ..Plan::default()
        },
        "must be one word",
    );
}

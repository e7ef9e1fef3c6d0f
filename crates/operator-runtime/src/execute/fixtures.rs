//! Plans to carry out, and a server that answers from a list and records its requests.

use std::collections::VecDeque;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::{Delete, Evict, Kind, MergePatch, NoCloud, ObjectRef, Propagation, Write};
use serde_json::{Value, json};
use telemetry::Metrics;

use super::*;
use crate::testing::{Log, Seen, lines, refusal, serve};
use plan::FailureClass;

pub(super) const FINALIZER: &str = "kaito.sh/test";

pub(super) struct Ran {
    pub(super) log: Log,
    pub(super) writes: Vec<PendingWrite>,
    pub(super) result: Result<Executed, Error>,
}

impl Ran {
    pub(super) fn seen(&self, at: usize) -> Seen {
        self.log.lock().unwrap()[at].clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        lines(&self.log)
    }

    pub(super) fn class(&self) -> FailureClass {
        self.result.as_ref().unwrap_err().class()
    }
}

pub(super) fn meta(finalizers: &[&str]) -> ObjectMeta {
    ObjectMeta {
        name: Some("m".to_owned()),
        uid: Some("u1".to_owned()),
        resource_version: Some("7".to_owned()),
        finalizers: Some(finalizers.iter().map(|f| (*f).to_owned()).collect()),
        ..ObjectMeta::default()
    }
}

/// The runtime of a replica that leads.
pub(super) fn elected(client: kube::Client) -> Runtime {
    let runtime = Runtime::new(client, "tester", &Metrics::new(), crate::Health::default());
    runtime.fence.open();
    runtime
}

/// Executes a plan for the Machine `m` against a server with these answers, and then only refusals.
pub(super) async fn run(finalizers: &[&str], plan: Plan<NoCloud>, answers: Vec<(u16, Value)>) -> Ran {
    let mut answers = VecDeque::from(answers);
    let (client, log) = serve(move |_| Some(answers.pop_front().unwrap_or_else(|| refusal(500))));
    let runtime = elected(client);
    let meta = meta(finalizers);
    let target = ObjectRef {
        kind: Kind::Machine,
        namespace: None,
        name: "m".to_owned(),
    };
    let reconciled = ReconciledObject {
        target,
        meta: &meta,
        failures: 0,
    };
    let mut writes = Vec::new();
    let executor = Executor::new(&runtime);
    let result = executor
        .execute(
            &reconciled,
            plan,
            |call| async move { match call {} },
            shown,
            &mut writes,
        )
        .await;
    Ran { log, writes, result }
}

/// A report whose status is the list of refusals.
pub(super) fn shown(refusals: &[RefusedWrite]) -> Report {
    let notes: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    Report {
        status: Some(json!({ "refused": notes })),
        events: vec![],
    }
}

pub(super) fn writes(writes: Vec<Write>) -> Plan<NoCloud> {
    Plan {
        writes,
        ..Plan::default()
    }
}

pub(super) fn config_map() -> Write {
    let metadata = ObjectMeta {
        name: Some("c".to_owned()),
        namespace: Some("ns".to_owned()),
        ..ObjectMeta::default()
    };
    Write::Apply(Box::new(
        ConfigMap {
            metadata,
            ..ConfigMap::default()
        }
        .into(),
    ))
}

pub(super) fn pod() -> ObjectRef {
    ObjectRef {
        kind: Kind::Pod,
        namespace: Some("ns".to_owned()),
        name: "p".to_owned(),
    }
}

pub(super) fn delete() -> Write {
    let propagation = Propagation::Foreground;
    Write::Delete(Delete {
        target: pod(),
        uid: "u2".to_owned(),
        resource_version: None,
        propagation,
        grace_seconds: Some(0),
    })
}

pub(super) fn evict(name: &str) -> Write {
    Write::Evict(Evict {
        namespace: "ns".to_owned(),
        name: name.to_owned(),
        uid: "u2".to_owned(),
    })
}

pub(super) fn patch() -> Write {
    let target = ObjectRef {
        kind: Kind::Node,
        namespace: None,
        name: "n".to_owned(),
    };
    let body = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "taints": [] } });
    Write::Patch(MergePatch {
        target,
        resource_version: "41".to_owned(),
        body,
    })
}

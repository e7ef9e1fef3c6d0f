//! Defaults that the API server adds, as far as they could look like drift.

use plan::Kind;
use serde_json::{Value, json};

use crate::json;

/// Adds the defaults of a kind to fields that are not set.
pub fn fill(kind: Kind, value: &mut Value) {
    match kind {
        Kind::Service => service(value),
        Kind::Deployment => {
            json::default(value, &["spec", "replicas"], json!(1));
            json::default(value, &["spec", "progressDeadlineSeconds"], json!(600));
            json::default(value, &["spec", "revisionHistoryLimit"], json!(10));
            json::default(value, &["spec", "strategy", "type"], json!("RollingUpdate"));
            pod_template(value, "Always");
        }
        Kind::StatefulSet => {
            json::default(value, &["spec", "replicas"], json!(1));
            json::default(value, &["spec", "podManagementPolicy"], json!("OrderedReady"));
            json::default(
                value,
                &["spec", "updateStrategy"],
                json!({"type": "RollingUpdate"}),
            );
            pod_template(value, "Always");
        }
        Kind::Job => job(value),
        Kind::NodeClaim => json::default(value, &["spec", "expireAfter"], json!("720h")),
        _ => {}
    }
}

fn service(value: &mut Value) {
    let ip = format!("10.0.0.{}", json::text(value, &["metadata", "name"]).len());
    json::default(value, &["spec", "type"], json!("ClusterIP"));
    json::default(value, &["spec", "clusterIP"], json!(ip));
    json::default(value, &["spec", "sessionAffinity"], json!("None"));
    json::default(value, &["spec", "internalTrafficPolicy"], json!("Cluster"));
    for port in items(value, &["spec", "ports"]) {
        let number = port.get("port").cloned().unwrap_or(Value::Null);
        json::default(port, &["protocol"], json!("TCP"));
        json::default(port, &["targetPort"], number);
    }
}

fn job(value: &mut Value) {
    let uid = json::text(value, &["metadata", "uid"]).to_owned();
    json::default(value, &["spec", "parallelism"], json!(1));
    json::default(value, &["spec", "completions"], json!(1));
    json::default(value, &["spec", "backoffLimit"], json!(6));
    json::default(value, &["spec", "suspend"], json!(false));
    json::default(value, &["spec", "completionMode"], json!("NonIndexed"));
    json::default(
        value,
        &["spec", "selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
    );
    json::default(
        value,
        &[
            "spec",
            "template",
            "metadata",
            "labels",
            "batch.kubernetes.io/controller-uid",
        ],
        json!(uid),
    );
    pod_template(value, "Never");
}

fn pod_template(value: &mut Value, restart: &str) {
    let spec = ["spec", "template", "spec"];
    if json::at(value, &spec).is_none() {
        return;
    }
    for (field, default) in [
        ("restartPolicy", json!(restart)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("securityContext", json!({})),
    ] {
        json::default(value, &["spec", "template", "spec", field], default);
    }
    for list in ["containers", "initContainers"] {
        for container in items(value, &["spec", "template", "spec", list]) {
            json::default(
                container,
                &["terminationMessagePath"],
                json!("/dev/termination-log"),
            );
            json::default(container, &["terminationMessagePolicy"], json!("File"));
            json::default(container, &["imagePullPolicy"], json!("IfNotPresent"));
            for port in items(container, &["ports"]) {
                json::default(port, &["protocol"], json!("TCP"));
            }
        }
    }
}

fn items<'a>(value: &'a mut Value, path: &[&str]) -> impl Iterator<Item = &'a mut Value> {
    path.iter()
        .try_fold(value, |value, field| value.get_mut(field))
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

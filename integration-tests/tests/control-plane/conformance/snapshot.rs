//! Objects of one namespace without what differs from one run to the next: identities, versions and times.

use kaito_api::conditions::ClaimReason;
use kaito_api::labels::{
    CREATION_TIMESTAMP, LAUNCH_FAILURE, LAUNCHED_IN, MACHINE_TYPE, NVIDIA_GPU, OPERATION_URL, ORDINAL,
    RENDERED_HASH, WORKSPACE_NAMESPACE, WRITE_FENCE,
};
use plan::Kind;
use serde_json::Value;

use super::Snapshot;

/// Kinds that our programs write.
pub(super) const KINDS: [Kind; 11] = [
    Kind::Workspace,
    Kind::Machine,
    Kind::NodeClaim,
    Kind::ConfigMap,
    Kind::NetworkPolicy,
    Kind::ControllerRevision,
    Kind::Service,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::Job,
    Kind::Node,
];

/// Returns true if the object is in the namespace, or its labels name a Workspace there.
pub(super) fn belongs(kind: Kind, value: &Value, namespace: &str) -> bool {
    let metadata = &value["metadata"];
    match kind {
        Kind::Machine | Kind::NodeClaim | Kind::Node => metadata["labels"][WORKSPACE_NAMESPACE] == namespace,
        // Kubernetes puts this one into every namespace.
        Kind::ConfigMap if metadata["name"] == "kube-root-ca.crt" => false,
        Kind::Pod => false,
        // A StatefulSet makes its own.
        Kind::ControllerRevision if metadata["ownerReferences"][0]["kind"] != Kind::Workspace.as_str() => {
            false
        }
        _ => metadata["namespace"] == namespace,
    }
}

/// Returns the normalized objects of the namespace.
pub(super) fn of(objects: Vec<(Kind, Value)>, namespace: &str) -> Snapshot {
    let objects: Vec<_> = objects
        .into_iter()
        .filter(|(kind, value)| belongs(*kind, value, namespace))
        .collect();
    let names = placeholders(&objects);
    objects
        .into_iter()
        .map(|(kind, mut value)| {
            normalize(kind, &mut value, &names);
            let name = value["metadata"]["name"].as_str().unwrap_or_default();
            (format!("{} {name}", kind.as_str()), value)
        })
        .collect()
}

pub(super) fn forget(value: &mut Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
}

/// Texts to replace, longest first: names and UIDs that the API server or a digest of a UID gave.
fn placeholders(objects: &[(Kind, Value)]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    for (kind, value) in objects {
        let metadata = &value["metadata"];
        let ordinal = text(&metadata["labels"][ORDINAL]).unwrap_or_default();
        if let Some(uid) = text(&metadata["uid"]) {
            all.push((uid, format!("<uid of {} {ordinal}>", kind.as_str())));
        }
        let name = text(&metadata["name"]).unwrap_or_default();
        match kind {
            Kind::Machine | Kind::NodeClaim => all.push((name, format!("<claim {ordinal}>"))),
            Kind::ControllerRevision => all.push((name, format!("<revision {}>", value["revision"]))),
            Kind::Node => {
                all.push((name, format!("<node {ordinal}>")));
                if let Some(id) = text(&value["spec"]["providerID"]) {
                    all.push((id, format!("<provider id {ordinal}>")));
                }
            }
            _ => {}
        }
    }
    all.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    all
}

fn normalize(kind: Kind, value: &mut Value, names: &[(String, String)]) {
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "selfLink",
    ] {
        forget(&mut value["metadata"], field);
    }
    // Of workloads, the controllers of Kubernetes write the status, and of Nodes a kubelet.
    if !matches!(kind, Kind::Workspace | Kind::Machine | Kind::NodeClaim) {
        forget(value, "status");
        forget(&mut value["metadata"], "generation");
    }
    // The digest covers names and UIDs.
    if value["metadata"]["annotations"][RENDERED_HASH].is_string() {
        value["metadata"]["annotations"][RENDERED_HASH] = "<digest>".into();
    }
    without_environment(kind, value);
    texts(value, &mut |text| {
        for (from, to) in names {
            *text = text.replace(from, to);
        }
        if text.parse::<jiff::Timestamp>().is_ok() {
            *text = "<time>".to_owned();
        }
        without_cloud_text(text);
    });
    if kind == Kind::Node {
        only_ours(value);
    }
}

/// Drops what the cloud, the kubelet or the control plane chose, and our programs only copy.
fn without_environment(kind: Kind, value: &mut Value) {
    let annotations = &mut value["metadata"]["annotations"];
    forget(annotations, "deployment.kubernetes.io/revision");
    // The simulated cloud has one cluster, and no name for it.
    forget(annotations, LAUNCHED_IN);
    // The simulation has no lease.
    forget(annotations, WRITE_FENCE);
    if annotations[OPERATION_URL].is_string() {
        annotations[OPERATION_URL] = "<operation>".into();
    }
    if let Some(mut failure) = json_in(&annotations[LAUNCH_FAILURE]) {
        failure["error"]["message"] = "<cloud>".into();
        failure["error"]["request_id"] = Value::Null;
        annotations[LAUNCH_FAILURE] = failure.to_string().into();
    }
    match kind {
        Kind::Machine | Kind::NodeClaim => {
            for field in ["capacity", "allocatable"] {
                if let Some(resources) = value["status"][field].as_object_mut() {
                    resources.retain(|name, _| name == NVIDIA_GPU);
                }
            }
        }
        // Kubelets differ in what they report of the pods, and when.
        Kind::Workspace => {
            forget(&mut value["status"], "coldStart");
            // Without a zone in the Workspace, the cloud chooses one.
            let offerings = value["status"]["offerings"].as_array_mut().into_iter().flatten();
            offerings.for_each(|offering| forget(offering, "zone"));
        }
        // `None` is ours: it makes a Service headless.
        Kind::Service if value["spec"]["clusterIP"] != "None" => {
            forget(&mut value["spec"], "clusterIP");
            forget(&mut value["spec"], "clusterIPs");
        }
        _ => {}
    }
}

fn json_in(text: &Value) -> Option<Value> {
    text.as_str().and_then(|text| serde_json::from_str(text).ok())
}

/// Calls `change` for every text, also within texts that are JSON themselves.
fn texts(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(mut inner @ (Value::Object(_) | Value::Array(_))) => {
                texts(&mut inner, change);
                *text = inner.to_string();
            }
            _ => change(text),
        },
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| texts(field, change)),
        _ => {}
    }
}

/// Both clouds refuse with the same code and with words of their own.
fn without_cloud_text(text: &mut String) {
    let code = "SkuNotAvailable: ";
    let remedy = ClaimReason::SkuNotAvailable.remedy();
    if let Some(start) = text.find(code) {
        // The message of an attempt has no remedy.
        let end = text.find(remedy).unwrap_or(text.len());
        text.replace_range(start + code.len()..end, "<cloud> ");
    }
}

/// Keeps of a Node the fields that our programs write.
fn only_ours(node: &mut Value) {
    let taints = node["spec"]["taints"].take();
    node["spec"] = serde_json::json!({ "taints": taints });
    forget(&mut node["metadata"], "annotations");
    if let Some(labels) = node["metadata"]["labels"].as_object_mut() {
        // Of these two, one is a time and one is set by the cloud's own rules.
        let others = [MACHINE_TYPE, CREATION_TIMESTAMP];
        labels.retain(|key, _| {
            (key.contains("kaito") || key.contains("karpenter")) && !others.contains(&key.as_str())
        });
    }
}

//! The CustomResourceDefinitions of this project.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionVersion,
    JSONSchemaProps, JSONSchemaPropsOrBool, ValidationRule,
};
use kube::CustomResourceExt;

use crate::machine::Machine;
use crate::node_claim::NodeClaim;
use crate::node_claim_schema;
use crate::node_class::{self, KaitoNodeClass};
use crate::schema_path::at;
use crate::workspace::Workspace;
use crate::workspace_rules::{CelRule, RULES};

/// All CustomResourceDefinitions, ready to apply.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![workspace(), machine(), node_claim(), node_class()]
}

/// `Workspace`, served as `v1alpha1` and `v1beta1` with one schema; `v1beta1` is stored.
#[must_use]
pub fn workspace() -> CustomResourceDefinition {
    let mut crd = Workspace::crd();
    let Some(mut current) = crd.spec.versions.pop() else {
        return crd;
    };
    if let Some(root) = root_schema(&mut current) {
        bound_selector(root);
        RULES.iter().for_each(|rule| inject(root, rule));
        root.required = None;
    }
    let mut old = current.clone();
    current.additional_printer_columns = Some(columns_v1beta1());
    old.name = "v1alpha1".to_owned();
    old.storage = false;
    old.additional_printer_columns = Some(columns_v1alpha1());
    crd.spec.versions = vec![old, current];
    crd
}

/// `Machine`, `v1alpha5`.
#[must_use]
pub fn machine() -> CustomResourceDefinition {
    let mut crd = Machine::crd();
    crd.spec
        .versions
        .iter_mut()
        .filter_map(root_schema)
        // Karpenter's definition requires nothing at the top level.
        .for_each(|root| root.required = None);
    crd.spec
        .versions
        .iter_mut()
        .for_each(|version| version.additional_printer_columns = Some(columns_machine()));
    crd
}

/// `NodeClaim`, `v1`, for clusters without Karpenter's definition.
#[must_use]
pub fn node_claim() -> CustomResourceDefinition {
    let mut crd = NodeClaim::crd();
    crd.spec
        .versions
        .iter_mut()
        .filter_map(root_schema)
        .for_each(node_claim_schema::shape);
    crd.spec
        .versions
        .iter_mut()
        .for_each(|version| version.additional_printer_columns = Some(columns_node_claim()));
    crd
}

/// `KaitoNodeClass`, `v1alpha1`.
#[must_use]
pub fn node_class() -> CustomResourceDefinition {
    let mut crd = KaitoNodeClass::crd();
    for version in &mut crd.spec.versions {
        if let Some(root) = root_schema(version) {
            node_class::RULES.iter().for_each(|rule| inject(root, rule));
            bound_tags(root);
        }
        version.additional_printer_columns = Some(vec![
            column("Subnet", "string", ".spec.subnetId", true),
            column("OS", "string", ".spec.osSku", false),
            column("Driver", "string", ".spec.gpuDriver", false),
            column("Age", "date", ".metadata.creationTimestamp", false),
        ]);
    }
    crd
}

fn bound_tags(root: &mut JSONSchemaProps) {
    if let Some(tags) = at(root, &["spec", "tags"]) {
        // Azure permits 50 tags; AKS and gpu-provisioner set some.
        tags.max_properties = Some(40);
        if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut tags.additional_properties {
            value.max_length = Some(256);
        }
    }
}

fn root_schema(version: &mut CustomResourceDefinitionVersion) -> Option<&mut JSONSchemaProps> {
    version.schema.as_mut()?.open_api_v3_schema.as_mut()
}

// The API server estimates costs by the largest object that the schema allows, and Kubernetes' own selector has no bounds.
fn bound_selector(root: &mut JSONSchemaProps) {
    const MOST: i64 = 16;
    let expressions = ["resource", "labelSelector", "matchExpressions"];
    if let Some(labels) = at(root, &["resource", "labelSelector", "matchLabels"]) {
        labels.max_properties = Some(MOST);
        if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut labels.additional_properties {
            value.max_length = Some(317);
        }
    }
    if let Some(list) = at(root, &expressions) {
        list.max_items = Some(MOST);
    }
    for (name, longest) in [("key", 317), ("operator", 12)] {
        if let Some(text) = at(root, &[&expressions[..], &["[]", name]].concat()) {
            text.max_length = Some(longest);
        }
    }
    if let Some(values) = at(root, &[&expressions[..], &["[]", "values"]].concat()) {
        values.max_items = Some(MOST);
    }
    if let Some(value) = at(root, &[&expressions[..], &["[]", "values", "[]"]].concat()) {
        value.max_length = Some(317);
    }
}

fn inject(root: &mut JSONSchemaProps, rule: &CelRule) {
    if let Some(schema) = at(root, rule.path) {
        schema
            .x_kubernetes_validations
            .get_or_insert_default()
            .push(ValidationRule {
                rule: rule.rule.to_owned(),
                message: Some(rule.message.to_owned()),
                ..ValidationRule::default()
            });
    }
}

fn column(name: &str, type_: &str, json_path: &str, wide: bool) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: json_path.to_owned(),
        priority: wide.then_some(1),
        ..CustomResourceColumnDefinition::default()
    }
}

fn condition_column(name: &str, wide: bool) -> CustomResourceColumnDefinition {
    column(
        name,
        "string",
        &format!(".status.conditions[?(@.type==\"{name}\")].status"),
        wide,
    )
}

fn columns_v1alpha1() -> Vec<CustomResourceColumnDefinition> {
    vec![
        column("Instance", "string", ".resource.instanceType", false),
        condition_column("ResourceReady", false),
        condition_column("InferenceReady", false),
        condition_column("JobStarted", true),
        condition_column("WorkspaceReady", false),
        column("Reason", "string", ".status.reason", true),
        column("Model", "string", ".status.model", true),
        column("Endpoint", "string", ".status.endpoint", true),
        column("Age", "date", ".metadata.creationTimestamp", false),
    ]
}

fn columns_v1beta1() -> Vec<CustomResourceColumnDefinition> {
    vec![
        column("Instance", "string", ".resource.instanceType", false),
        condition_column("ResourceReady", false),
        condition_column("InferenceReady", false),
        condition_column("JobStarted", false),
        condition_column("WorkspaceSucceeded", false),
        column("TargetNodeCount", "integer", ".status.targetNodeCount", false),
        column("State", "string", ".status.state", false),
        column("Reason", "string", ".status.reason", false),
        column("Model", "string", ".status.model", false),
        column("Endpoint", "string", ".status.endpoint", false),
        column("Age", "date", ".metadata.creationTimestamp", false),
    ]
}

fn columns_machine() -> Vec<CustomResourceColumnDefinition> {
    let ready = |field: &str| format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    vec![
        column(
            "Type",
            "string",
            ".metadata.labels.node\\.kubernetes\\.io/instance-type",
            false,
        ),
        column(
            "Zone",
            "string",
            ".metadata.labels.topology\\.kubernetes\\.io/zone",
            false,
        ),
        column("Node", "string", ".status.nodeName", false),
        column("Ready", "string", &ready("status"), false),
        column("Age", "date", ".metadata.creationTimestamp", false),
        column("Reason", "string", &ready("reason"), true),
        column(
            "Capacity",
            "string",
            ".metadata.labels.karpenter\\.sh/capacity-type",
            true,
        ),
        column(
            "Provisioner",
            "string",
            ".metadata.labels.karpenter\\.sh/provisioner-name",
            true,
        ),
        column("Template", "string", ".spec.machineTemplateRef.name", true),
    ]
}

fn columns_node_claim() -> Vec<CustomResourceColumnDefinition> {
    let label =
        |name: &str, key: &str, wide: bool| column(name, "string", &format!(".metadata.labels.{key}"), wide);
    vec![
        label("Type", "node\\.kubernetes\\.io/instance-type", false),
        label("Capacity", "karpenter\\.sh/capacity-type", false),
        label("Zone", "topology\\.kubernetes\\.io/zone", false),
        column("Node", "string", ".status.nodeName", false),
        condition_column("Ready", false),
        column("Age", "date", ".metadata.creationTimestamp", false),
        column("ImageID", "string", ".status.imageID", true),
        column("ID", "string", ".status.providerID", true),
        label("NodePool", "karpenter\\.sh/nodepool", true),
        column("NodeClass", "string", ".spec.nodeClassRef.name", true),
        condition_column("Drifted", true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_finds_its_place() {
        let crd = workspace();
        assert_eq!(crd.spec.versions.len(), 2);
        let text = serde_json::to_string(&crd.spec.versions[1]).unwrap();
        for rule in RULES {
            assert!(
                text.contains(&serde_json::to_string(rule.message).unwrap()),
                "{}",
                rule.message
            );
        }
    }

    /// Every `format` of a schema, with its place.
    fn formats(value: &serde_json::Value, path: &str, found: &mut Vec<(String, String)>) {
        if let serde_json::Value::Object(fields) = value {
            for (key, inner) in fields {
                match inner.as_str().filter(|_| key == "format") {
                    Some(format) => found.push((path.to_owned(), format.to_owned())),
                    None => formats(inner, &format!("{path}.{key}"), found),
                }
            }
        } else if let serde_json::Value::Array(items) = value {
            items.iter().for_each(|item| formats(item, path, found));
        }
    }

    #[test]
    fn the_api_server_knows_every_format() {
        // Those of apiextensions-apiserver that fit our fields; it warns of any other one at each installation.
        let known = ["int32", "int64", "float", "double", "date-time", "byte"];
        let mut found = Vec::new();
        for crd in all() {
            let name = crd.metadata.name.clone().unwrap();
            for version in &crd.spec.versions {
                let schema = serde_json::to_value(&version.schema).unwrap();
                formats(&schema, &format!("{name}/{}", version.name), &mut found);
            }
        }
        assert!(found.len() > 10, "{found:?}");
        found.retain(|(_, format)| !known.contains(&format.as_str()));
        assert_eq!(found, []);
    }

    #[test]
    fn the_examples_are_workspaces() {
        let yaml = r#"{"apiVersion":"kaito.sh/v1alpha1","kind":"Workspace","metadata":{"name":"w"},
            "resource":{"instanceType":"Standard_NC6s_v3","labelSelector":{"matchLabels":{"apps":"phi-3"}}},
            "inference":{"preset":{"name":"phi-3-mini-4k-instruct"}}}"#;
        let workspace: Workspace = serde_json::from_str(yaml).unwrap();
        let resource = workspace.spec.resource.unwrap();
        assert_eq!(
            (resource.count, resource.instance_type.as_str()),
            (1, "Standard_NC6s_v3")
        );
    }
}

//! Bounds, patterns and CEL rules of Karpenter's definition of `NodeClaim`, beyond the types.
//!
//! Values are those of `karpenter.sh_nodeclaims.yaml` in kubernetes-sigs/karpenter 1.14. So an object is valid for this
//! definition exactly if it is valid for Karpenter's. Its bounds on the values of a requirement are left out: they are
//! bounds of strings on a list, which have no effect.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use serde_json::json;

use crate::quantity;
use crate::schema_path::at;

const QUALIFIED_NAME: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(\/))?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$";
const CONDITION_TYPE: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";
const CONDITION_REASON: &str = r"^([A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?|)$";
const DURATION: &str = r"^([0-9]+(s|m|h))+$";
const DURATION_OR_NEVER: &str = r"^(([0-9]+(s|m|h))+|Never)$";

/// Rules on the key of a requirement: expression and message.
const KEY_RULES: [(&str, &str); 2] = [
    (
        r#"self in ["karpenter.sh/capacity-type", "karpenter.sh/nodepool"] || !self.find("^([^/]+)").endsWith("karpenter.sh")"#,
        r#"label domain "karpenter.sh" is restricted"#,
    ),
    (
        r#"self != "kubernetes.io/hostname""#,
        r#"label "kubernetes.io/hostname" is restricted"#,
    ),
];

/// Rules on the list of requirements.
const REQUIREMENT_RULES: [(&str, &str); 3] = [
    (
        "self.all(x, x.operator == 'In' ? x.values.size() != 0 : true)",
        "requirements with operator 'In' must have a value defined",
    ),
    (
        "self.all(x, (x.operator == 'Gt' || x.operator == 'Lt' || x.operator == 'Gte' || x.operator == 'Lte') ? (x.values.size() == 1 && int(x.values[0]) >= 0) : true)",
        "requirements operator 'Gt', 'Lt', 'Gte', or 'Lte' must have a single positive integer value",
    ),
    (
        "self.all(x, (x.operator == 'In' && has(x.minValues)) ? x.values.size() >= x.minValues : true)",
        "requirements with 'minValues' must have at least that many values specified in the 'values' field",
    ),
];

/// Turns the generated schema into Karpenter's.
pub(crate) fn shape(root: &mut JSONSchemaProps) {
    // Karpenter's schema allows no null.
    forbid_null(root);
    root.required = Some(vec!["spec".to_owned()]);
    if let Some(spec) = at(root, &["spec"]) {
        rules(spec, &[("self == oldSelf", "spec is immutable")]);
        spec.required = Some(vec!["nodeClassRef".to_owned(), "requirements".to_owned()]);
        shape_class(spec);
        shape_requirements(spec);
        shape_taints(spec, "taints");
        shape_taints(spec, "startupTaints");
        shape_durations(spec);
    }
    for path in [
        &["spec", "resources", "requests"][..],
        &["status", "capacity"],
        &["status", "allocatable"],
    ] {
        if let Some(map) = at(root, path) {
            map.additional_properties = Some(JSONSchemaPropsOrBool::Schema(Box::new(quantity())));
        }
    }
    if let Some(list) = at(root, &["status", "conditions"]) {
        list.x_kubernetes_list_type = Some("map".to_owned());
        list.x_kubernetes_list_map_keys = Some(vec!["type".to_owned()]);
    }
    if let Some(condition) = at(root, &["status", "conditions", "[]"]) {
        shape_condition(condition);
    }
}

fn shape_class(spec: &mut JSONSchemaProps) {
    for (name, rule, message) in [
        ("group", "self != ''", "group may not be empty"),
        ("kind", "self != ''", "kind may not be empty"),
        ("name", "self != ''", "name may not be empty"),
    ] {
        if let Some(text) = at(spec, &["nodeClassRef", name]) {
            rules(text, &[(rule, message)]);
        }
    }
    pattern(spec, &["nodeClassRef", "group"], "^[^/]*$");
}

fn shape_requirements(spec: &mut JSONSchemaProps) {
    const LIST: &str = "requirements";
    if let Some(list) = at(spec, &[LIST]) {
        list.max_items = Some(100);
        list.x_kubernetes_list_type = Some("atomic".to_owned());
        rules(list, &REQUIREMENT_RULES);
    }
    if let Some(key) = at(spec, &[LIST, "[]", "key"]) {
        key.max_length = Some(316);
        key.pattern = Some(QUALIFIED_NAME.to_owned());
        rules(key, &KEY_RULES);
    }
    choice(
        spec,
        &[LIST, "[]", "operator"],
        &["Gte", "Lte", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"],
    );
    if let Some(values) = at(spec, &[LIST, "[]", "values"]) {
        values.x_kubernetes_list_type = Some("atomic".to_owned());
    }
    if let Some(least) = at(spec, &[LIST, "[]", "minValues"]) {
        (least.minimum, least.maximum, least.format) = (Some(1.0), Some(50.0), None);
    }
}

fn shape_taints(spec: &mut JSONSchemaProps, list: &str) {
    if let Some(all) = at(spec, &[list]) {
        all.x_kubernetes_list_type = Some("atomic".to_owned());
    }
    choice(
        spec,
        &[list, "[]", "effect"],
        &["NoSchedule", "PreferNoSchedule", "NoExecute"],
    );
    pattern(spec, &[list, "[]", "key"], QUALIFIED_NAME);
    pattern(spec, &[list, "[]", "value"], QUALIFIED_NAME);
    if let Some(key) = at(spec, &[list, "[]", "key"]) {
        key.min_length = Some(1);
    }
}

fn shape_durations(spec: &mut JSONSchemaProps) {
    pattern(spec, &["terminationGracePeriod"], DURATION);
    pattern(spec, &["expireAfter"], DURATION_OR_NEVER);
    if let Some(expiry) = at(spec, &["expireAfter"]) {
        expiry.default = Some(JSON(json!("720h")));
    }
}

fn shape_condition(condition: &mut JSONSchemaProps) {
    let required = ["lastTransitionTime", "status", "type"].map(str::to_owned);
    condition.required = Some(required.into());
    choice(condition, &["status"], &["True", "False", "Unknown"]);
    pattern(condition, &["type"], CONDITION_TYPE);
    pattern(condition, &["reason"], CONDITION_REASON);
    for (name, longest) in [("type", 316), ("reason", 1024), ("message", 32768)] {
        if let Some(text) = at(condition, &[name]) {
            text.max_length = Some(longest);
        }
    }
    if let Some(generation) = at(condition, &["observedGeneration"]) {
        generation.minimum = Some(0.0);
    }
}

fn quantity() -> JSONSchemaProps {
    let of = |type_: &str| JSONSchemaProps {
        type_: Some(type_.to_owned()),
        ..JSONSchemaProps::default()
    };
    JSONSchemaProps {
        any_of: Some(vec![of("integer"), of("string")]),
        pattern: Some(quantity::PATTERN.to_owned()),
        x_kubernetes_int_or_string: Some(true),
        ..JSONSchemaProps::default()
    }
}

fn rules(schema: &mut JSONSchemaProps, all: &[(&str, &str)]) {
    let rule = |(rule, message): &(&str, &str)| ValidationRule {
        rule: (*rule).to_owned(),
        message: Some((*message).to_owned()),
        ..ValidationRule::default()
    };
    schema.x_kubernetes_validations = Some(all.iter().map(rule).collect());
}

fn pattern(root: &mut JSONSchemaProps, path: &[&str], pattern: &str) {
    if let Some(text) = at(root, path) {
        text.pattern = Some(pattern.to_owned());
    }
}

fn choice(root: &mut JSONSchemaProps, path: &[&str], words: &[&str]) {
    if let Some(text) = at(root, path) {
        text.enum_ = Some(words.iter().map(|word| JSON(json!(word))).collect());
    }
}

fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
        .for_each(forbid_null);
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = schema.items.as_mut() {
        forbid_null(item);
    }
    // A default of nothing is no default.
    schema.default = None;
}

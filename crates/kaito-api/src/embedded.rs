//! Schemas of the Kubernetes types that a Workspace embeds: a pod template and a volume without a name.
//!
//! They come from `k8s-openapi`, so they have the fields of the Kubernetes version that it is built for. Descriptions are left
//! out: both versions of the CRD hold each schema, and `kubectl apply` stores the CRD in an annotation of at most 256 KiB.
//! Lists are atomic, as in an object without a schema: a template has one author, so nothing is gained by merging items.

use k8s_openapi::api::core::v1::{PodTemplateSpec, Volume};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::quantity;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
/// Fields that no template may have: the API server refuses the first, and writes the second itself.
const LEFT_OUT: [(&str, &str); 2] = [(POD_SPEC, "ephemeralContainers"), (META, "managedFields")];

/// Schema of `core/v1 PodTemplateSpec`.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    nullable(schema_of::<PodTemplateSpec>())
}

/// Schema of `core/v1 VolumeSource`: a volume without its name.
pub(crate) fn volume_source(_: &mut SchemaGenerator) -> Schema {
    let mut schema = schema_of::<Volume>();
    schema.remove("required");
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.remove("name");
    }
    nullable(schema)
}

fn nullable(mut schema: Map<String, Value>) -> Schema {
    schema.insert("nullable".to_owned(), Value::Bool(true));
    Schema::from(schema)
}

fn schema_of<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.transforms.clear());
    let root = settings.into_generator().into_root_schema_for::<T>();
    let definitions = root.get("$defs").cloned().unwrap_or_default();
    structural(root.as_object().unwrap_or(&Map::new()), &definitions)
}

/// Returns the schema as a CRD needs it: without references, descriptions and titles.
fn structural(schema: &Map<String, Value>, definitions: &Value) -> Map<String, Value> {
    if let Some(Value::String(reference)) = schema.get("$ref") {
        return referenced(reference, definitions);
    }
    let mut result = Map::new();
    for (keyword, value) in schema {
        let value = match (keyword.as_str(), value) {
            ("description" | "title" | "$defs" | "$schema", _) => continue,
            ("properties", Value::Object(properties)) => properties
                .iter()
                .map(|(name, property)| (name.clone(), nested(property, definitions)))
                .collect::<Map<_, _>>()
                .into(),
            ("items" | "additionalProperties", schema) => nested(schema, definitions),
            (_, other) => other.clone(),
        };
        result.insert(keyword.clone(), value);
    }
    result
}

fn nested(schema: &Value, definitions: &Value) -> Value {
    match schema {
        Value::Object(schema) => structural(schema, definitions).into(),
        other => other.clone(),
    }
}

fn referenced(reference: &str, definitions: &Value) -> Map<String, Value> {
    let name = reference.rsplit('/').next().unwrap_or_default();
    let empty = Map::new();
    let mut schema = structural(definitions[name].as_object().unwrap_or(&empty), definitions);
    if name == QUANTITY {
        schema.insert("pattern".to_owned(), json!(quantity::PATTERN));
    }
    // Generators of manifests write a null for it.
    if let Some(Value::Object(time)) = schema
        .get_mut("properties")
        .and_then(|all| all.get_mut("creationTimestamp"))
    {
        time.insert("nullable".to_owned(), Value::Bool(true));
    }
    for (_, field) in LEFT_OUT.iter().filter(|(of, _)| *of == name) {
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.remove(*field);
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

    use crate::crd;

    /// Limit of the API server on all annotations of an object. `kubectl apply` without `--server-side` stores the CRD there.
    const ANNOTATIONS: usize = 256 << 10;

    #[test]
    fn a_client_can_apply_the_definition() {
        let text = serde_json::to_string(&crd::workspace()).unwrap();
        assert!(text.len() < ANNOTATIONS * 9 / 10, "{} bytes", text.len());
    }

    #[test]
    fn every_schema_is_structural() {
        for version in crd::workspace().spec.versions {
            let schema = version
                .schema
                .and_then(|schema| schema.open_api_v3_schema)
                .unwrap();
            check(&schema, "");
        }
    }

    /// A schema says what it is, and names what an object contains.
    fn check(schema: &JSONSchemaProps, path: &str) {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
            JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
        };
        let either = schema.x_kubernetes_int_or_string == Some(true);
        assert!(schema.type_.is_some() != either, "{path} needs one type");
        assert!(
            schema.ref_path.is_none() && schema.x_kubernetes_preserve_unknown_fields.is_none(),
            "{path}"
        );
        for (name, property) in schema.properties.iter().flatten() {
            check(property, &format!("{path}.{name}"));
        }
        match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => check(item, &format!("{path}[]")),
            other => assert!(other.is_none(), "{path}"),
        }
        match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(value)) => check(value, &format!("{path}.*")),
            other => assert!(other.is_none(), "{path}"),
        }
        if schema.type_.as_deref() == Some("object") && !path.is_empty() {
            let known = schema.properties.is_some() || schema.additional_properties.is_some();
            assert!(known, "{path} accepts nothing");
        }
    }
}

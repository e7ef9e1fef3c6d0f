//! Paths into a JSON schema.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// Returns the schema at a path of property names; `[]` steps into list items.
pub(crate) fn at<'a>(root: &'a mut JSONSchemaProps, path: &[&str]) -> Option<&'a mut JSONSchemaProps> {
    let found = path.iter().try_fold(root, |schema, step| match *step {
        "[]" => match schema.items.as_mut()? {
            JSONSchemaPropsOrArray::Schema(item) => Some(item.as_mut()),
            JSONSchemaPropsOrArray::Schemas(_) => None,
        },
        name => schema.properties.as_mut()?.get_mut(name),
    });
    debug_assert!(found.is_some(), "no schema at {path:?}");
    found
}

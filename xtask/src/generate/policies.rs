//! The admission policies as YAML, for the chart to put between what depends on the release.

use std::path::Path;

use admission::{
    AUTHOR, CAPACITY_NOTES, CATALOG, CATALOG_NOTES, CONTROLLER, FINALIZER, NOTES, PROVISIONER, Policy,
    REVISIONS, SHAPE,
};
use anyhow::{Context as _, Result};

use super::generated::Generated;

const HEADER: &str = "# Made by `cargo xtask gen` from crates/admission. Do not edit.\n";

const POLICIES: [&Policy; 10] = [
    &SHAPE,
    &AUTHOR,
    &FINALIZER,
    &REVISIONS,
    &CATALOG,
    &CONTROLLER,
    &PROVISIONER,
    &NOTES,
    &CATALOG_NOTES,
    &CAPACITY_NOTES,
];

pub(super) fn files() -> Result<Vec<Generated>> {
    POLICIES.into_iter().flat_map(parts).collect()
}

/// Each field in a file of its own, because the chart adds to the variables.
fn parts(policy: &Policy) -> Vec<Result<Generated>> {
    let name = policy.name;
    let mut spec = admission::spec(policy);
    // Without it their order depends on what else is built: a feature of serde_json.
    spec.sort_all_objects();
    let part = |field: &str| {
        let yaml = serde_saphyr::to_string(&spec[field]).with_context(|| format!("{field} must be YAML"))?;
        Ok(Generated {
            path: Path::new("charts/kaito/policies").join(format!("{name}-{field}.yaml")),
            contents: format!("{HEADER}{yaml}"),
        })
    };
    let conditions = (!policy.conditions.is_empty()).then_some("matchConditions");
    conditions
        .into_iter()
        .chain(["variables", "validations"])
        .map(part)
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn yaml_says_what_the_code_says() {
        let files = super::files().unwrap();
        let read = |name: &str| -> serde_json::Value {
            let file = files.iter().find(|file| file.path.ends_with(name)).unwrap();
            serde_saphyr::from_str(&file.contents).unwrap()
        };
        for policy in super::POLICIES {
            let spec = admission::spec(policy);
            for field in ["variables", "validations"] {
                assert_eq!(read(&format!("{}-{field}.yaml", policy.name)), spec[field]);
            }
            if !policy.conditions.is_empty() {
                assert_eq!(
                    read(&format!("{}-matchConditions.yaml", policy.name)),
                    spec["matchConditions"]
                );
            }
        }
    }
}

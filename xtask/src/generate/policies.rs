//! The admission policies as YAML, for the chart to put between what depends on the release.

use std::path::Path;

use admission::{CATALOG, Policy, SHAPE};
use anyhow::{Context as _, Result};

use super::generated::Generated;

const HEADER: &str = "# Made by `cargo xtask gen` from crates/admission. Do not edit.\n";

pub(super) fn files() -> Result<Vec<Generated>> {
    [("shape", &SHAPE), ("catalog", &CATALOG)]
        .into_iter()
        .flat_map(|(name, policy)| parts(name, policy))
        .collect()
}

/// Each field in a file of its own, because the chart adds to the variables.
fn parts(name: &str, policy: &Policy) -> Vec<Result<Generated>> {
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
    ["matchConditions", "variables", "validations"].map(part).into()
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
        for (name, policy) in [("shape", &admission::SHAPE), ("catalog", &admission::CATALOG)] {
            let spec = admission::spec(policy);
            for field in ["matchConditions", "variables", "validations"] {
                assert_eq!(read(&format!("{name}-{field}.yaml")), spec[field]);
            }
        }
    }
}

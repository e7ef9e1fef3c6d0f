//! The custom resource definitions as YAML, for `kubectl apply` and for the chart.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::generated::Generated;

const HEADER: &str = "# Made by `cargo xtask gen` from crates/kaito-api. Do not edit.\n";

/// The directory of all of them.
const ALL: &str = "deploy/crds";
/// The directory from which templates of the chart take them.
const OF_CHART: &str = "charts/kaito/definitions";

pub(super) fn files() -> Result<Vec<Generated>> {
    let mut files = Vec::new();
    for crd in kaito_api::crd::all() {
        let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        let yaml = serde_saphyr::to_string(&crd).with_context(|| format!("{name} must be YAML"))?;
        for dir in [ALL, OF_CHART] {
            files.push(Generated {
                path: Path::new(dir).join(&name),
                contents: format!("{HEADER}{yaml}"),
            });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn yaml_says_what_the_code_says() {
        let files = super::files().unwrap();
        for crd in kaito_api::crd::all() {
            let expected = serde_json::to_value(&crd).unwrap();
            let of_crd = |value: &serde_json::Value| *value == expected;
            let copies = files
                .iter()
                .map(|file| serde_saphyr::from_str::<serde_json::Value>(&file.contents).unwrap())
                .filter(of_crd)
                .count();
            assert_eq!(copies, 2, "{:?}", crd.metadata.name);
        }
    }
}

//! JSON Schemas of the files that users write, for editors and linters.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::generated::Generated;

pub(super) fn files() -> Result<Vec<Generated>> {
    let mut schema = serde_json::to_value(preset_catalog::file_schema())
        .context("the schema of preset files must be JSON")?;
    // Without it their order depends on what else is built: a feature of serde_json.
    schema.sort_all_objects();
    let json = serde_json::to_string_pretty(&schema).context("the schema of preset files must be JSON")?;
    Ok(vec![Generated {
        path: Path::new("deploy/schemas").join("preset.schema.json"),
        contents: format!("{json}\n"),
    }])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_is_of_one_preset_or_a_list() {
        let files = super::files().unwrap();
        let schema: serde_json::Value = serde_json::from_str(&files[0].contents).unwrap();
        assert_eq!(schema["anyOf"].as_array().unwrap().len(), 2);
        assert_eq!(schema["anyOf"][1]["items"], schema["anyOf"][0]);
    }
}

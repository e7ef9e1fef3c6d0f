//! `docs/reference.md`: every field and annotation that a user may write, and the fields of status.
//!
//! The text is that of the CRDs and of `kaito_api::labels`, so that `kubectl explain` and the page agree.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::generated::Generated;
use crate::repository;

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask gen` from crates/kaito-api. Do not edit. -->
# Reference

Fields and annotations of our objects. `kubectl explain workspace` shows the fields, too. Flags of the engine are in
[settings.md](settings.md), values of the chart in [values.yaml](../charts/kaito/values.yaml), and what is refused in
[admission.md](admission.md).
";

const ANNOTATIONS: &str = "
## Annotations of a Workspace

An annotation that is not listed here has no effect.

| annotation | meaning |
|---|---|
";

/// The end of the description of an annotation that users write.
const MARK: &str = "Annotation on Workspaces";
/// Kinds of other projects, which users do not write.
const FOREIGN_GROUP: &str = "karpenter.sh";

pub(super) fn files() -> Result<Vec<Generated>> {
    let labels = repository::root().join("crates/kaito-api/src/labels.rs");
    let labels =
        std::fs::read_to_string(&labels).with_context(|| format!("failed to read {}", labels.display()))?;
    let mut contents = INTRODUCTION.to_owned();
    contents.push_str(ANNOTATIONS);
    for (name, meaning) in annotations(&labels) {
        writeln!(contents, "| `{name}` | {} |", cell(&meaning))?;
    }
    for crd in kaito_api::crd::all() {
        if crd.spec.group == FOREIGN_GROUP {
            continue;
        }
        let kind = &crd.spec.names.kind;
        // Versions differ in name alone.
        let version = crd.spec.versions.iter().find(|version| version.storage);
        let version = version.with_context(|| format!("{kind} has no stored version"))?;
        let schema = version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref());
        let schema = serde_json::to_value(schema.with_context(|| format!("{kind} has no schema"))?)?;
        write!(
            contents,
            "\n## {kind}\n\n`{}/{}`\n\n| field | type | meaning |\n|---|---|---|\n",
            crd.spec.group, version.name
        )?;
        fields(&schema, "", &mut contents)?;
    }
    Ok(vec![Generated {
        path: Path::new("docs/reference.md").into(),
        contents,
    }])
}

/// Names and meanings of the annotations that users write on a Workspace, in the order of the source.
fn annotations(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
            continue;
        }
        let text = doc.join(" ");
        doc.clear();
        if let (Some(value), Some((meaning, rest))) = (value(line), text.split_once(MARK)) {
            found.push((value.to_owned(), meaning_of(meaning, rest)));
        }
    }
    found
}

/// The text of a constant.
fn value(line: &str) -> Option<&str> {
    let (_, value) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
    value.strip_suffix("\";")
}

/// The meaning without the mark, and with what follows it: `; [`PUBLIC`] must say who may reach it.`
fn meaning_of(meaning: &str, rest: &str) -> String {
    let rest = rest.trim_start_matches([' ', 'a', 'n', 'd', 'c', 'l', 'i', 'm', 's'].as_slice());
    let rest = rest.trim_start_matches(['.', ';', ',']).trim();
    let mut all = meaning.trim().to_owned();
    if !rest.is_empty() {
        let mut letters = rest.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        all.push(' ');
        all.push_str(&first);
        all.push_str(letters.as_str());
    }
    all.replace(['[', ']'], "")
}

/// Rows of the properties of a schema, and of those below them.
fn fields(schema: &Value, prefix: &str, to: &mut String) -> Result<()> {
    let Some(properties) = schema["properties"].as_object() else {
        return Ok(());
    };
    for (name, property) in properties {
        if prefix.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let path = format!("{prefix}{name}");
        // Types of Kubernetes are without descriptions in our CRDs, and documented elsewhere.
        let Some(description) = property["description"].as_str() else {
            continue;
        };
        writeln!(to, "| `{path}` | {} | {} |", type_of(property), cell(description))?;
        fields(property, &format!("{path}."), to)?;
        fields(&property["items"], &format!("{path}[]."), to)?;
    }
    Ok(())
}

fn type_of(property: &Value) -> String {
    let plain = property["type"].as_str().unwrap_or("any");
    match plain {
        "array" => format!("list of {}", type_of(&property["items"])),
        "object" if property["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&property["additionalProperties"]))
        }
        "object" if property["x-kubernetes-preserve-unknown-fields"] == true => "any object".to_owned(),
        _ => match property["enum"].as_array() {
            Some(values) => {
                let words: Vec<String> = values.iter().map(|value| format!("`{}`", text(value))).collect();
                words.join(", ")
            }
            None => plain.to_owned(),
        },
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Text for one cell of a table.
fn cell(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    paragraph.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_of_workspaces_are_found_with_their_meaning() {
        let source = "/// One of two. Annotation on\n/// Workspaces; [`B`] must be set.\npub const A: &str = \"kaito.sh/a\";\n\
                      /// A digest. Annotation on pods.\npub const C: &str = \"kaito.sh/c\";\n";
        assert_eq!(
            annotations(source),
            [("kaito.sh/a".to_owned(), "One of two. `B` must be set.".to_owned())]
        );
    }

    #[test]
    fn fields_below_lists_and_maps_are_shown() {
        let schema = serde_json::json!({"properties": {
            "kind": {"type": "string"},
            "volume": {"type": "object", "properties": {}},
            "list": {"type": "array", "description": "Some.", "items": {"type": "object", "properties": {
                "mode": {"type": "string", "enum": ["a", "b"], "description": "One | other.\n\nMore."},
            }}},
        }});
        let mut text = String::new();
        fields(&schema, "", &mut text).unwrap();
        assert_eq!(
            text,
            "| `list` | list of object | Some. |\n| `list[].mode` | `a`, `b` | One \\| other. |\n"
        );
    }
}

//! Files with user presets: their format and the positions of problems.
//!
//! A file holds one entry, a list of entries, or several YAML documents of these. This module reads text, not files.

use std::fmt;

use instance_types::{FileProblem, Position};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::entry::Entry;

/// An entry and its start position.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) entry: Entry,
    pub(crate) position: Option<Position>,
}

/// Entries of a file, in order; at least one.
pub(crate) fn entries(text: &str) -> Result<Vec<Written>, FileProblem> {
    let documents: Vec<OneOrMore> =
        serde_saphyr::from_multiple(text).map_err(|error| FileProblem::of_parser(&error))?;
    let entries: Vec<_> = documents.into_iter().flat_map(|document| document.0).collect();
    if entries.is_empty() {
        return Err(FileProblem {
            position: None,
            message: "the file must hold a preset".to_owned(),
        });
    }
    Ok(entries
        .into_iter()
        .map(|spanned| Written {
            entry: spanned.value,
            position: Position::of(spanned.defined),
        })
        .collect())
}

struct OneOrMore(Vec<Spanned<Entry>>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Spanned::<OneOrMoreEntries>::deserialize(deserializer)?;
        let place = document.defined;
        Ok(Self(match document.value {
            OneOrMoreEntries::Nothing => Vec::new(),
            OneOrMoreEntries::One(entry) => vec![Spanned::new(*entry, place, place)],
            OneOrMoreEntries::More(entries) => entries,
        }))
    }
}

enum OneOrMoreEntries {
    Nothing,
    One(Box<Entry>),
    More(Vec<Spanned<Entry>>),
}

impl<'de> Deserialize<'de> for OneOrMoreEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An untagged enum would buffer the input and lose the positions.
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = OneOrMoreEntries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a preset or a list of presets")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(OneOrMoreEntries::Nothing)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let entry = Entry::deserialize(MapAccessDeserializer::new(map))?;
                Ok(OneOrMoreEntries::One(Box::new(entry)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMoreEntries::More)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// Returns the JSON Schema of a preset file: one entry or a list.
#[must_use]
pub fn file_schema() -> Schema {
    /// A file of presets for preset-registry: one preset or a list of presets.
    #[derive(JsonSchema)]
    #[schemars(untagged)]
    #[expect(dead_code, reason = "exists for its schema")]
    enum PresetFile {
        One(Box<Entry>),
        More(Vec<Entry>),
    }
    SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<PresetFile>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "hub_id: org/a\nlicense: mit\narchitecture: A\nweights: 1Gi\nmax_context_tokens: 1\n\
                         kv_bytes_per_token: 1\n";

    fn listed() -> String {
        let indented: Vec<_> = ENTRY.lines().collect();
        format!("- {}\n", indented.join("\n  "))
    }

    #[test]
    fn one_a_list_or_several_documents() {
        let list = listed();
        for (text, places) in [
            (ENTRY.to_owned(), vec![1]),
            (format!("# words\n\n{list}{list}"), vec![3, 9]),
            (format!("{ENTRY}---\n{list}"), vec![1, 8]),
        ] {
            let entries = entries(&text).unwrap();
            let lines: Vec<_> = entries
                .iter()
                .map(|written| written.position.unwrap().line)
                .collect();
            assert_eq!(lines, places, "{text}");
        }
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let actual = entries(text).unwrap_err().to_string();
        assert!(actual.starts_with(expected), "{actual}");
    }

    #[test]
    fn problems_say_where() {
        refused("", "the file must hold a preset");
        refused("# nothing\n", "the file must hold a preset");
        refused("[]", "the file must hold a preset");
        refused(
            &format!("{ENTRY}wieght: 1\n"),
            "line 7 column 1: unknown field `wieght`",
        );
        refused(
            &ENTRY.replace("1Gi", "big"),
            "line 4 column 10: `big` must be a size in GiB, such as 27.31Gi",
        );
        refused(
            &ENTRY.replace("license: mit\n", ""),
            "line 5 column 1: missing field `license`",
        );
        let list = listed();
        refused(
            &format!("{list}{}{list}", list.replace("  license: mit\n", "")),
            "line 11 column 3: missing field `license`",
        );
        refused(
            "just words",
            "invalid type: string \"just words\", expected a preset or a list of presets",
        );
        refused(
            &format!("{ENTRY}license: mit\n"),
            "line 7 column 1: duplicate mapping key: license",
        );
        refused(&ENTRY.replace("tokens: 1\n", "tokens: [\n"), "line 5 column 21: ");
    }

    #[test]
    fn the_schema_names_every_field() {
        let schema = serde_json::to_value(file_schema()).unwrap();
        let entry = &schema["$defs"]["Entry"];
        let fields: Vec<_> = entry["properties"].as_object().unwrap().keys().collect();
        assert!(fields.iter().any(|field| *field == "override"), "{fields:?}");
        for (name, field) in entry["properties"].as_object().unwrap() {
            assert!(field["description"].is_string(), "{name}");
        }
        assert_eq!(entry["additionalProperties"], false);
    }
}

//! JSON schemas before they become grammars: bounds, references and strictness. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::error::GrammarError;

/// Maximum of a schema, in bytes. Schemas with hundreds of fields have about ten thousand.
pub(super) const MAX_BYTES: usize = 128 << 10;
/// Maximum depth of nesting.
const MAX_DEPTH: usize = 64;
/// Maximum of `patternProperties`, and of the bytes of a schema with several. The library compares each pair of them, repeatedly
/// where schemas are combined.
const MAX_PATTERNS: usize = 8;
const MAX_PATTERNS_BYTES: usize = 16 << 10;
/// Maximum product of the different numbers in `multipleOf`, without their zeros: the library has a state for each remainder.
const MAX_MULTIPLES: u64 = 10_000;
/// Whitespace between two tokens of JSON: one space, or a line end with indentation. It is bounded so that a model cannot generate
/// whitespace without end.
const WHITESPACE: &str = r"\x20|\x0A[\x20\x09]{0,20}";
/// Keywords that hold values, in which `$ref` is not a reference.
const VALUES: [&str; 4] = ["const", "enum", "default", "examples"];

/// Options for the interpretation of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonOptions {
    /// Refuse keywords that are not supported, instead of ignoring them.
    pub(crate) strict: bool,
    /// Allow no whitespace between tokens.
    pub(crate) compact: bool,
    /// Regular expression for whitespace.
    pub(crate) whitespace: Option<String>,
}

/// Returns the schema for the library.
pub(crate) fn prepare(schema: &Value, options: &JsonOptions) -> Result<Value, GrammarError> {
    let whitespace = options.whitespace.as_ref().map_or(0, String::len);
    let bytes = schema.to_string().len() + whitespace;
    if bytes > MAX_BYTES {
        return Err(GrammarError::TooLarge {
            bytes,
            max: MAX_BYTES,
        });
    }
    check(schema, 0)?;
    let patterns = patterns(schema);
    if patterns > MAX_PATTERNS || (patterns > 1 && bytes > MAX_PATTERNS_BYTES) {
        return Err(GrammarError::Patterns {
            max: MAX_PATTERNS,
            bytes: MAX_PATTERNS_BYTES,
        });
    }
    let mut multiples = BTreeSet::new();
    significands(schema, &mut multiples);
    if multiples.iter().fold(1, |all: u64, one| all.saturating_mul(*one)) > MAX_MULTIPLES {
        return Err(GrammarError::Multiples { max: MAX_MULTIPLES });
    }
    let mut map = match schema {
        Value::Object(map) => map.clone(),
        Value::Bool(true) => serde_json::Map::new(),
        Value::Bool(false) => {
            return Err(GrammarError::Grammar(
                "the schema `false` matches nothing".to_owned(),
            ));
        }
        _ => return Err(GrammarError::Grammar("a schema must be an object".to_owned())),
    };
    map.insert(
        "x-guidance".to_owned(),
        json!({
            "lenient": !options.strict,
            "whitespace_flexible": !options.compact,
            "whitespace_pattern": (!options.compact).then(|| options.whitespace.as_deref().unwrap_or(WHITESPACE)),
        }),
    );
    Ok(Value::Object(map))
}

fn check(value: &Value, depth: usize) -> Result<(), GrammarError> {
    if depth > MAX_DEPTH {
        return Err(GrammarError::TooDeep { max: MAX_DEPTH });
    }
    match value {
        Value::Array(list) => list.iter().try_for_each(|part| check(part, depth + 1)),
        Value::Object(map) => map.iter().try_for_each(|(name, part)| match part {
            Value::String(target) if name == "$ref" && !target.starts_with('#') => {
                Err(GrammarError::Remote(target.chars().take(100).collect()))
            }
            part if VALUES.contains(&name.as_str()) => depth_only(part, depth + 1),
            part => check(part, depth + 1),
        }),
        _ => Ok(()),
    }
}

/// Returns the number of all `patternProperties`.
fn patterns(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.iter().map(patterns).sum(),
        Value::Object(map) => {
            let own = map
                .get("patternProperties")
                .and_then(Value::as_object)
                .map_or(0, serde_json::Map::len);
            own + map.values().map(patterns).sum::<usize>()
        }
        _ => 0,
    }
}

/// Collects the digits of all numbers in `multipleOf`.
fn significands(value: &Value, found: &mut BTreeSet<u64>) {
    match value {
        Value::Array(list) => list.iter().for_each(|part| significands(part, found)),
        Value::Object(map) => {
            if let Some(Value::Number(number)) = map.get("multipleOf") {
                let text = number.to_string();
                let digits = text
                    .split(['e', 'E'])
                    .next()
                    .unwrap_or_default()
                    .replace(['.', '-'], "");
                found.insert(digits.trim_matches('0').parse().unwrap_or(1));
            }
            map.values().for_each(|part| significands(part, found));
        }
        _ => {}
    }
}

fn depth_only(value: &Value, depth: usize) -> Result<(), GrammarError> {
    if depth > MAX_DEPTH {
        return Err(GrammarError::TooDeep { max: MAX_DEPTH });
    }
    match value {
        Value::Array(list) => list.iter().try_for_each(|part| depth_only(part, depth + 1)),
        Value::Object(map) => map.values().try_for_each(|part| depth_only(part, depth + 1)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!({}), |inner, _| json!({"items": inner}))
    }

    fn names(count: usize) -> Value {
        (0..count)
            .map(|name| (format!("^{name}"), json!({})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    #[test]
    fn schemas_are_bounded_and_fetch_nothing() {
        let remote = "https://example.com/a.json";
        let cases = [
            (json!({"type": "object"}), None),
            (json!(true), None),
            (json!({"$ref": "#/$defs/a", "$defs": {"a": {}}}), None),
            (json!({"properties": {"$ref": {"type": "string"}}}), None),
            (json!({"const": {"$ref": remote}}), None),
            (nested(60), None),
            (
                json!({"anyOf": [{"multipleOf": 0.25}, {"multipleOf": 250}, {"multipleOf": 1e9}]}),
                None,
            ),
            (json!({"properties": {"multipleOf": {"type": "string"}}}), None),
            (json!({"multipleOf": 99_999_989}), Some("`multipleOf`")),
            (
                json!({"allOf": [{"multipleOf": 997}, {"multipleOf": 0.991}]}),
                Some("`multipleOf`"),
            ),
            (json!(false), Some("matches nothing")),
            (json!([1]), Some("a schema must be an object")),
            (json!({"items": {"$ref": remote}}), Some("nothing is fetched")),
            (json!({"$ref": "other.json"}), Some("`other.json`")),
            (nested(70), Some("nested more than 64 deep")),
            (json!({"enum": [nested(70)]}), Some("nested more than 64 deep")),
            (
                json!({"items": {"patternProperties": {"^a": {}, "^b": {}}}}),
                None,
            ),
            (json!({"patternProperties": names(9)}), Some("at most 8")),
            (
                json!({"items": [{"patternProperties": names(2)}], "title": "a".repeat(MAX_PATTERNS_BYTES)}),
                Some("at most 8"),
            ),
            (
                json!({"description": "a".repeat(MAX_BYTES)}),
                Some("at most 131072"),
            ),
        ];
        for (schema, problem) in cases {
            let found = prepare(&schema, &JsonOptions::default()).map_err(|refusal| refusal.to_string());
            match (problem, found) {
                (None, Ok(_)) => {}
                (Some(problem), Err(found)) => assert!(found.contains(problem), "{found}"),
                (_, found) => panic!("{schema}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_schema_cannot_change_its_own_strictness() {
        let schema = json!({"x-guidance": {"lenient": true}, "type": "string"});
        let strict = JsonOptions {
            strict: true,
            ..JsonOptions::default()
        };
        let prepared = prepare(&schema, &strict).unwrap();
        assert_eq!(prepared["x-guidance"]["lenient"], false);
    }
}

//! JSON schemas before they become grammars: bounds, references, and how strictly they are read. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Refusal;

/// Longest schema, in bytes. Those of hundreds of fields have some ten thousand.
pub(crate) const BYTES: usize = 128 << 10;
/// Deepest nesting.
const DEPTH: usize = 64;
/// Most `patternProperties` of a schema, and the longest schema in bytes that has several: the library compares each with
/// each, over and over where schemas are combined.
const PATTERNS: usize = 8;
const PATTERNS_BYTES: usize = 16 << 10;
/// Largest product of the different numbers of `multipleOf`, without their zeros: the library has a state for each remainder.
const MULTIPLES: u64 = 10_000;
/// Blanks between two parts of an answer: one, or a new line with its indentation. A model that has nothing to say must not
/// write blanks for ever.
const BLANKS: &str = r"\x20|\x0A[\x20\x09]{0,20}";
/// Fields that hold values, in which nothing is a reference.
const VALUES: [&str; 4] = ["const", "enum", "default", "examples"];

/// How a schema is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Fields that are not carried out are mistakes, instead of being left out.
    pub(crate) strict: bool,
    /// No blanks between the parts of an answer.
    pub(crate) compact: bool,
    /// What blanks may be, if the request says so.
    pub(crate) blanks: Option<String>,
}

/// A schema as the library takes it.
pub(crate) fn prepare(schema: &Value, reading: &Reading) -> Result<Value, Refusal> {
    let blanks = reading.blanks.as_ref().map_or(0, String::len);
    let bytes = schema.to_string().len() + blanks;
    if bytes > BYTES {
        return Err(Refusal::TooLarge { bytes, most: BYTES });
    }
    check(schema, 0)?;
    let patterns = patterns(schema);
    if patterns > PATTERNS || (patterns > 1 && bytes > PATTERNS_BYTES) {
        return Err(Refusal::Patterns {
            most: PATTERNS,
            bytes: PATTERNS_BYTES,
        });
    }
    let mut multiples = BTreeSet::new();
    significands(schema, &mut multiples);
    if multiples.iter().fold(1, |all: u64, one| all.saturating_mul(*one)) > MULTIPLES {
        return Err(Refusal::Multiples { most: MULTIPLES });
    }
    let mut map = match schema {
        Value::Object(map) => map.clone(),
        Value::Bool(true) => serde_json::Map::new(),
        Value::Bool(false) => return Err(Refusal::Grammar("nothing fits the schema `false`".to_owned())),
        _ => return Err(Refusal::Grammar("a schema is an object".to_owned())),
    };
    map.insert(
        "x-guidance".to_owned(),
        json!({
            "lenient": !reading.strict,
            "whitespace_flexible": !reading.compact,
            "whitespace_pattern": (!reading.compact).then(|| reading.blanks.as_deref().unwrap_or(BLANKS)),
        }),
    );
    Ok(Value::Object(map))
}

fn check(value: &Value, depth: usize) -> Result<(), Refusal> {
    if depth > DEPTH {
        return Err(Refusal::TooDeep { most: DEPTH });
    }
    match value {
        Value::Array(list) => list.iter().try_for_each(|part| check(part, depth + 1)),
        Value::Object(map) => map.iter().try_for_each(|(name, part)| match part {
            Value::String(target) if name == "$ref" && !target.starts_with('#') => {
                Err(Refusal::Remote(target.chars().take(100).collect()))
            }
            part if VALUES.contains(&name.as_str()) => depth_only(part, depth + 1),
            part => check(part, depth + 1),
        }),
        _ => Ok(()),
    }
}

/// How many patterns of names there are, all in all.
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

/// The digits of all numbers in `multipleOf`.
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

fn depth_only(value: &Value, depth: usize) -> Result<(), Refusal> {
    if depth > DEPTH {
        return Err(Refusal::TooDeep { most: DEPTH });
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
            (json!(false), Some("nothing fits")),
            (json!([1]), Some("a schema is an object")),
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
                json!({"items": [{"patternProperties": names(2)}], "title": "a".repeat(PATTERNS_BYTES)}),
                Some("at most 8"),
            ),
            (json!({"description": "a".repeat(BYTES)}), Some("at most 131072")),
        ];
        for (schema, problem) in cases {
            let found = prepare(&schema, &Reading::default()).map_err(|refusal| refusal.to_string());
            match (problem, found) {
                (None, Ok(_)) => {}
                (Some(problem), Err(found)) => assert!(found.contains(problem), "{found}"),
                (_, found) => panic!("{schema}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_request_can_not_change_how_it_is_read() {
        let schema = json!({"x-guidance": {"lenient": true}, "type": "string"});
        let strict = Reading {
            strict: true,
            ..Reading::default()
        };
        let prepared = prepare(&schema, &strict).unwrap();
        assert_eq!(prepared["x-guidance"]["lenient"], false);
    }
}

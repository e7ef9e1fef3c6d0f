//! JSON schemas before they become grammars: bounds, references, and how strictly they are read. Pure.

use serde_json::{Value, json};

use super::Refusal;

/// Longest schema, in bytes. Those of hundreds of fields have some ten thousand.
pub(crate) const BYTES: usize = 128 << 10;
/// Deepest nesting.
const DEPTH: usize = 64;
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
    let bytes = schema.to_string().len();
    if bytes > BYTES {
        return Err(Refusal::TooLarge { bytes, most: BYTES });
    }
    check(schema, 0)?;
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
            (json!(false), Some("nothing fits")),
            (json!([1]), Some("a schema is an object")),
            (json!({"items": {"$ref": remote}}), Some("nothing is fetched")),
            (json!({"$ref": "other.json"}), Some("`other.json`")),
            (nested(70), Some("nested more than 64 deep")),
            (json!({"enum": [nested(70)]}), Some("nested more than 64 deep")),
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

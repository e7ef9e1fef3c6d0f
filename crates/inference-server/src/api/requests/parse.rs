//! Parses the body of a request. An error names the path of the parameter; parameters without a field are recorded as ignored.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment, Track};

use crate::api::context::RequestContext;
use crate::api::error::ApiError;

/// Maximum length of a client's value in an error, in characters.
const MAX_VALUE_CHARS: usize = 80;

/// Parses a body.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], context: &RequestContext) -> Result<T, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(body @ Value::Object(_)) => {
            let ignored = &mut |parameter: &str| context.ignore(parameter);
            parse_value(body, "", ignored)
        }
        Ok(other) => Err(ApiError::body(format!("it is {}", kind(&other)))),
        Err(error) => Err(ApiError::body(error)),
    }
}

/// Parses a value that stands at `path` of a body.
pub(crate) fn parse_value<T: DeserializeOwned>(
    value: Value,
    path: &str,
    ignored: &mut dyn FnMut(&str),
) -> Result<T, ApiError> {
    let mut track = Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    let parsed = serde_ignored::deserialize(deserializer, |ignored_path| {
        ignored(&ignored_name(path, &ignored_path));
    });
    parsed.map_err(|error| {
        let mut name = parameter_name(path, &track.path());
        let problem = problem(&error.to_string(), &mut name);
        ApiError::parameter(name, problem)
    })
}

/// Returns the name of a parameter: `messages[0].role`.
fn parameter_name(prefix: &str, path: &Path) -> String {
    let mut name = prefix.to_owned();
    for segment in path {
        match segment {
            Segment::Seq { index } => push_index(&mut name, *index),
            Segment::Map { key } => push_key(&mut name, key),
            Segment::Enum { variant } => push_key(&mut name, variant),
            Segment::Unknown => {}
        }
    }
    name
}

fn ignored_name(prefix: &str, path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => prefix.to_owned(),
        Path::Seq { parent, index } => {
            let mut name = ignored_name(prefix, parent);
            push_index(&mut name, *index);
            name
        }
        Path::Map { parent, key } => {
            let mut name = ignored_name(prefix, parent);
            push_key(&mut name, key);
            name
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            ignored_name(prefix, parent)
        }
    }
}

fn push_index(name: &mut String, index: usize) {
    // Writing to a string does not fail.
    let _ = write!(name, "[{index}]");
}

fn push_key(name: &mut String, key: &str) {
    if !name.is_empty() {
        name.push('.');
    }
    name.push_str(key);
}

/// Words the text of a serde error as our errors are worded, and completes the name if a field is missing.
fn problem(error: &str, name: &mut String) -> String {
    if let Some(field) = between(error, "missing field `", "`") {
        push_key(name, field);
        return "must be given".to_owned();
    }
    let mismatch = ["invalid type: ", "invalid value: ", "unknown variant "]
        .iter()
        .find_map(|start| error.strip_prefix(start)?.rsplit_once(", expected "));
    match mismatch {
        Some((found, expected)) => format!("must be {}, not {}", expected_kind(expected), found_value(found)),
        None => error.to_owned(),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split(end).next()
}

/// Replaces Rust's types by JSON's.
fn expected_kind(expected: &str) -> &str {
    match expected {
        "f32" | "f64" => "a number",
        "i64" | "u64" | "u32" | "usize" => "an integer",
        "a sequence" => "a list",
        "a map" => "an object",
        other => other,
    }
}

fn found_value(found: &str) -> String {
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        value if value.chars().count() > MAX_VALUE_CHARS => {
            let start: String = value.chars().take(MAX_VALUE_CHARS).collect();
            format!("{start}…")
        }
        value => value.to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(expecting = "an object")]
    struct Body {
        name: String,
        count: Option<i64>,
        share: Option<f64>,
        word: Option<Word>,
        items: Option<Vec<Item>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        One,
        Two,
    }

    #[derive(Debug, Deserialize)]
    #[serde(expecting = "an object")]
    struct Item {
        flag: bool,
    }

    #[test]
    fn errors_name_the_path_of_the_parameter() {
        let cases = [
            (json!({}), "name", "`name` must be given"),
            (json!({"name": null}), "name", "`name` must be a string, not null"),
            (
                json!({"name": "a", "count": "3"}),
                "count",
                "`count` must be an integer, not string \"3\"",
            ),
            (
                json!({"name": "a", "count": 2.5}),
                "count",
                "`count` must be an integer, not floating point `2.5`",
            ),
            (
                json!({"name": "a", "share": {}}),
                "share",
                "`share` must be a number, not an object",
            ),
            (
                json!({"name": "a", "word": "three"}),
                "word",
                "`word` must be `one` or `two`, not `three`",
            ),
            (
                json!({"name": "a", "items": 1}),
                "items",
                "`items` must be a list, not integer `1`",
            ),
            (
                json!({"name": "a", "items": [{"flag": true}, 7]}),
                "items[1]",
                "`items[1]` must be an object, not integer `7`",
            ),
            (
                json!({"name": "a", "items": [{}]}),
                "items[0].flag",
                "`items[0].flag` must be given",
            ),
            (
                json!({"name": "a", "items": [{"flag": [1]}]}),
                "items[0].flag",
                "`items[0].flag` must be a boolean, not a list",
            ),
        ];
        for (body, param, message) in cases {
            let error = parse_value::<Body>(body.clone(), "", &mut |_| {}).unwrap_err();
            assert_eq!(
                (error.param.as_deref(), error.message.as_str()),
                (Some(param), message),
                "{body}"
            );
        }
        let body = json!({"name": "a".repeat(1000), "count": "b".repeat(1000)});
        let error = parse_value::<Body>(body, "", &mut |_| {}).unwrap_err();
        assert!(error.message.len() < 200, "{}", error.message);
    }

    #[test]
    fn unknown_parameters_are_recorded_by_path() {
        let body = json!({"name": "a", "user": "me", "count": 1, "share": 1, "word": "two", "items": [{"flag": true, "x": {"y": 1}}]});
        let mut ignored = Vec::new();
        let parsed = parse_value::<Body>(body, "", &mut |name| ignored.push(name.to_owned())).unwrap();
        assert_eq!(ignored, ["user", "items[0].x"]);
        let items: Vec<bool> = parsed.items.unwrap().iter().map(|item| item.flag).collect();
        assert_eq!(
            (parsed.name.as_str(), parsed.count, parsed.share, items),
            ("a", Some(1), Some(1.0), vec![true])
        );
        assert!(matches!(parsed.word, Some(Word::Two)) && !matches!(parsed.word, Some(Word::One)));
    }

    #[test]
    fn a_body_must_be_an_object() {
        let context = RequestContext::new(None);
        for body in ["[]", "{", "", "null", "3"] {
            let error = parse::<Body>(body.as_bytes(), &context).unwrap_err();
            assert_eq!((error.param, error.code), (None, Some("invalid_json")), "{body}");
        }
    }
}

//! Reading and writing JSON by path, for objects whose kind does not matter.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Returns the value at a path of field names.
#[must_use]
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, field| value.get(field))
}

/// Returns the text at a path; empty if there is none.
#[must_use]
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the whole number at a path.
#[must_use]
pub fn number(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// Returns the items of the list at a path; none if there is no list.
#[must_use]
pub fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Returns the time at a path.
#[must_use]
pub fn time(value: &Value, path: &[&str]) -> Option<Timestamp> {
    text(value, path).parse().ok()
}

/// Sets the value at a path, and creates the objects on the way.
pub fn set(value: &mut Value, path: &[&str], new: Value) {
    match path.split_first() {
        None => *value = new,
        Some((field, rest)) => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            if let Value::Object(map) = value {
                set(map.entry(*field).or_insert(Value::Null), rest, new);
            }
        }
    }
}

/// Sets the value at a path where there is none.
pub fn default(value: &mut Value, path: &[&str], new: Value) {
    if at(value, path).is_none() {
        set(value, path, new);
    }
}

/// Removes the value at a path, if there is one.
pub fn remove(value: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else {
        return;
    };
    let place = way.iter().try_fold(value, |value, field| value.get_mut(field));
    if let Some(Value::Object(map)) = place {
        map.remove(*last);
    }
}

/// Drops `null` members at any depth: for the API server such a field is not set.
#[must_use]
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k, without_nulls(v)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// Returns a time as the API server writes it.
#[must_use]
pub fn stamp(time: Timestamp) -> Value {
    Value::String(
        Timestamp::from_second(time.as_second())
            .unwrap_or(time)
            .to_string(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_made_read_and_removed() {
        let mut value = json!({});
        set(&mut value, &["a", "b"], json!(1));
        default(&mut value, &["a", "b"], json!(2));
        assert_eq!(number(&value, &["a", "b"]), Some(1));
        remove(&mut value, &["a", "b"]);
        remove(&mut value, &["x", "y"]);
        assert_eq!(value, json!({"a": {}}));
        assert_eq!(
            without_nulls(json!({"a": null, "b": [{"c": null}]})),
            json!({"b": [{}]})
        );
    }
}

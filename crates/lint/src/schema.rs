//! Validation against a structural schema, which the API server does before any rule.
//!
//! Supports the keywords that our CRD uses. It rejects unknown fields as `kubectl` does. It does not evaluate rules.

use instance_types::did_you_mean;
use regex::Regex;
use serde_json::{Map, Value};

use crate::violation::{Origin, Violation};

/// Returns all violations of the schema.
pub(crate) fn violations(schema: &Value, object: &Value) -> Vec<Violation> {
    let mut found = Found(Vec::new());
    found.fields(schema, object, "", &["apiVersion", "kind", "metadata"]);
    found.0
}

struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(Violation {
            origin: Origin::Schema,
            path: path.to_owned(),
            message: message.into(),
            remedy: None,
        });
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        let wanted = schema["type"].as_str().unwrap_or_default();
        match (wanted, value) {
            (_, Value::Null) => {
                if schema["nullable"] != Value::Bool(true) {
                    self.add(path, "must not be null");
                }
            }
            ("object", Value::Object(_)) => self.fields(schema, value, path, &[]),
            ("array", Value::Array(items)) => self.items(schema, items, path),
            ("string", Value::String(text)) => self.text(schema, text, path),
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
                self.number(schema, number.as_f64().unwrap_or(f64::MAX), path);
            }
            ("number", Value::Number(number)) => {
                self.number(schema, number.as_f64().unwrap_or(f64::MAX), path);
            }
            ("boolean", Value::Bool(_)) => {}
            ("", value) => self.either(schema, value, path),
            (wanted, other) => self.add(path, format!("must be of type {wanted}, but is {}", kind(other))),
        }
    }

    /// A value without a type: anything, or a quantity, a port and the like.
    fn either(&mut self, schema: &Value, value: &Value, path: &str) {
        if schema["x-kubernetes-int-or-string"] != Value::Bool(true) {
            return;
        }
        match value {
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) if number.is_i64() || number.is_u64() => {}
            other => self.add(
                path,
                format!("must be of type integer or string, but is {}", kind(other)),
            ),
        }
    }

    /// `known` lists fields that need no schema.
    fn fields(&mut self, schema: &Value, value: &Value, path: &str, known: &[&str]) {
        let Some(fields) = value.as_object() else {
            return self.add(path, format!("must be of type object, but is {}", kind(value)));
        };
        let missing = schema["required"].as_array().into_iter().flatten();
        for name in missing
            .filter_map(Value::as_str)
            .filter(|name| !fields.contains_key(*name))
        {
            self.add(&join(path, name), "must be specified");
        }
        if let Some(most) = schema["maxProperties"].as_u64()
            && fields.len() as u64 > most
        {
            self.add(path, format!("must have at most {most} entries"));
        }
        let open = schema["x-kubernetes-preserve-unknown-fields"] == Value::Bool(true);
        for (name, value) in fields {
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) if open || known.contains(&name.as_str()) => {}
                (Value::Null, Value::Null) => {
                    let others = schema["properties"].as_object().into_iter().flat_map(Map::keys);
                    let names = others.map(String::as_str).chain(known.iter().copied());
                    let hint = did_you_mean::hint(&did_you_mean::nearest(name, names));
                    self.add(&join(path, name), format!("unknown field{hint}"));
                }
                (Value::Null, schema) | (schema, _) => self.value(schema, value, &join(path, name)),
            }
        }
    }

    fn items(&mut self, schema: &Value, items: &[Value], path: &str) {
        if let Some(most) = schema["maxItems"].as_u64()
            && items.len() as u64 > most
        {
            self.add(path, format!("must have at most {most} items"));
        }
        for (index, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{path}[{index}]"));
        }
    }

    fn text(&mut self, schema: &Value, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(least) = schema["minLength"].as_u64()
            && length < least
        {
            self.add(path, format!("must have at least {least} characters"));
        }
        if let Some(most) = schema["maxLength"].as_u64()
            && length > most
        {
            self.add(path, format!("must have at most {most} characters"));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.iter().any(|value| value == text)
        {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            self.add(path, format!("must be one of {}", allowed.join(", ")));
        }
        // An expression of ours that Rust cannot read is left to the API server.
        let pattern = schema["pattern"].as_str().map(Regex::new);
        if let Some(Ok(pattern)) = pattern
            && !pattern.is_match(text)
        {
            self.add(path, format!("must match {pattern}"));
        }
    }

    fn number(&mut self, schema: &Value, number: f64, path: &str) {
        if schema["format"] == "int32" && !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number) {
            self.add(path, "must be a number of 32 bits");
        }
        if let Some(least) = schema["minimum"].as_f64()
            && number < least
        {
            self.add(path, format!("must be at least {least}"));
        }
        if let Some(most) = schema["maximum"].as_f64()
            && number > most
        {
            self.add(path, format!("must be at most {most}"));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(object: &Value, expected: &[&str]) {
        let schema = json!({
            "type": "object", "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 3, "enum": ["abc", "b", "", "abcd"]},
                "count": {"type": "integer", "format": "int32", "minimum": 1.0, "maximum": 9.0},
                "list": {"type": "array", "maxItems": 1, "items": {"type": "string", "nullable": true}},
                "map": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "boolean"}},
                "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "size": {"x-kubernetes-int-or-string": true, "pattern": "^[0-9]+(Mi|Gi)?$"},
            }
        });
        let found: Vec<String> = violations(&schema, object)
            .iter()
            .map(Violation::to_string)
            .collect();
        assert_eq!(found, expected, "{object}");
    }

    #[test]
    fn each_keyword() {
        check(
            &json!({"name": "abc", "count": 9, "list": [null], "map": {"a": true}, "raw": {"x": 1}}),
            &[],
        );
        check(&json!({}), &["name: must be specified"]);
        check(
            &json!({"name": "b", "nme": 1, "counts": 1}),
            &["nme: unknown field", "counts: unknown field; did you mean count?"],
        );
        check(
            &json!({"name": 1}),
            &["name: must be of type string, but is number"],
        );
        check(&json!({"name": null}), &["name: must not be null"]);
        check(&json!({"name": ""}), &["name: must have at least 1 characters"]);
        check(
            &json!({"name": "abcd"}),
            &["name: must have at most 3 characters"],
        );
        check(&json!({"name": "c"}), &["name: must be one of abc, b, , abcd"]);
        check(&json!({"name": "b", "count": 0}), &["count: must be at least 1"]);
        check(&json!({"name": "b", "count": 10}), &["count: must be at most 9"]);
        check(
            &json!({"name": "b", "count": 1.5}),
            &["count: must be of type integer, but is number"],
        );
        check(
            &json!({"name": "b", "list": ["a", "b"]}),
            &["list: must have at most 1 items"],
        );
        check(
            &json!({"name": "b", "list": [true]}),
            &["list[0]: must be of type string, but is boolean"],
        );
        check(
            &json!({"name": "b", "map": {"a": 1}}),
            &["map.a: must be of type boolean, but is number"],
        );
        check(
            &json!({"name": "b", "map": {"a": true, "b": true}}),
            &["map: must have at most 1 entries"],
        );
        check(&json!({"name": "b", "size": 5}), &[]);
        check(&json!({"name": "b", "size": "5Gi"}), &[]);
        check(
            &json!({"name": "b", "size": "5GB"}),
            &["size: must match ^[0-9]+(Mi|Gi)?$"],
        );
        check(
            &json!({"name": "b", "size": 0.5}),
            &["size: must be of type integer or string, but is number"],
        );
        check(&json!([]), &["must be of type object, but is array"]);
    }
}

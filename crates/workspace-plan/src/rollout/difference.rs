//! Differences between two renderings, in few words.

use std::collections::BTreeSet;

use plan::text::cut;
use serde_json::Value;

/// Differences that are listed.
const LISTED: usize = 4;
/// Longest text of one value, in bytes.
const VALUE: usize = 80;

/// Lists the first differences as `path: old -> new`.
pub(super) fn between(old: &Value, new: &Value) -> String {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    let more = found.len().saturating_sub(LISTED);
    found.truncate(LISTED);
    let listed = found.join("; ");
    if more == 0 {
        listed
    } else {
        format!("{listed}; and {more} more")
    }
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let at = |key: &str| {
        // These levels say nothing.
        if matches!(path, "" | "spec" | "template") {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let (old, new) = (a.get(key), b.get(key));
                compare(
                    &at(key),
                    old.unwrap_or(&Value::Null),
                    new.unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if named(a).is_some() && named(b).is_some() => {
            let names: BTreeSet<&str> = a.iter().chain(b).filter_map(name).collect();
            for key in names {
                let of = |list: &[Value]| list.iter().find(|item| name(item) == Some(key)).cloned();
                let (old, new) = (of(a).unwrap_or_default(), of(b).unwrap_or_default());
                compare(&format!("{path}[{key}]"), &old, &new, found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let gone: Vec<String> = a.iter().filter(|item| !b.contains(item)).map(text).collect();
            let added: Vec<String> = b.iter().filter(|item| !a.contains(item)).map(text).collect();
            let (gone, added) = (gone.join(" "), added.join(" "));
            found.push(format!("{path}: {} -> {}", shown(&gone), shown(&added)));
        }
        (old, new) => found.push(format!("{path}: {} -> {}", shown(&text(old)), shown(&text(new)))),
    }
}

fn shown(text: &str) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        cut(text, VALUE)
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn name(value: &Value) -> Option<&str> {
    value.get("name")?.as_str()
}

fn named(list: &[Value]) -> Option<()> {
    list.iter().all(|item| name(item).is_some()).then_some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_flags_and_variables_are_named() {
        let container = |image: &str, args: &[&str], env: &str| {
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "model", "image": image, "args": args, "env": [{"name": "HF_HOME", "value": env}]},
            ]}}}})
        };
        let (old, new) = (
            container("a:1", &["--x=1", "--y"], "/a"),
            container("a:2", &["--x=2", "--y"], "/b"),
        );
        assert_eq!(
            between(&old, &new),
            "containers[model].args: --x=1 -> --x=2; containers[model].env[HF_HOME].value: /a -> /b; \
             containers[model].image: a:1 -> a:2"
        );
        assert_eq!(between(&old, &old), "");
    }

    #[test]
    fn a_long_list_is_cut() {
        let (old, new) = (
            json!({}),
            json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": "x".repeat(500)}),
        );
        let text = between(&old, &new);
        assert!(text.starts_with("a: none -> 1; b: none -> 2"), "{text}");
        assert!(text.ends_with("; and 2 more"), "{text}");
    }
}

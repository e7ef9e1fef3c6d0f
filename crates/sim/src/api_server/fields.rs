//! Field ownership and merging of server-side apply: which fields a value sets, and how they are merged.
//!
//! Lists that Kubernetes merges by a key are known by their field name; every other list is one value. That is right
//! for the schemas of our kinds only.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::json;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldStep {
    /// A member of an object.
    Field(String),
    /// An item of a keyed list, by its key.
    Item(String),
}

/// Path of a field.
pub type Path = Vec<FieldStep>;

/// Fields that one actor set.
pub type FieldSet = BTreeSet<Path>;

/// Returns the fields that an apply sets: without status, type, name and the server's metadata.
#[must_use]
pub fn configuration(value: &Value) -> Value {
    let mut value = json::without_nulls(value.clone());
    for path in [&["status"][..], &["apiVersion"], &["kind"]] {
        json::remove(&mut value, path);
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
    ] {
        json::remove(&mut value, &["metadata", field]);
    }
    value
}

/// Returns the fields that a value sets.
#[must_use]
pub fn fields(value: &Value) -> FieldSet {
    let mut set = FieldSet::new();
    collect(value, "", &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Value, name: &str, path: &mut Path, set: &mut FieldSet) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (field, inner) in map {
                path.push(FieldStep::Field(field.clone()));
                collect(inner, field, path, set);
                path.pop();
            }
        }
        Value::Array(items) if keys(name, items).is_some() => {
            for item in items {
                path.push(FieldStep::Item(key(name, item).unwrap_or_default()));
                collect(item, "", path, set);
                path.pop();
            }
        }
        _ => {
            set.insert(path.clone());
        }
    }
}

/// Merges everything that `applied` sets into `live`.
pub fn merge(live: &mut Value, applied: &Value) {
    merge_named(live, applied, "");
}

fn merge_named(live: &mut Value, applied: &Value, name: &str) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => merge_maps(live, applied),
        (Value::Array(live), Value::Array(applied))
            if keys(name, live).is_some() && keys(name, applied).is_some() =>
        {
            merge_lists(live, applied, name);
        }
        (live, applied) => *live = applied.clone(),
    }
}

fn merge_maps(live: &mut Map<String, Value>, applied: &Map<String, Value>) {
    for (field, value) in applied {
        match live.get_mut(field) {
            Some(place) => merge_named(place, value, field),
            None => {
                live.insert(field.clone(), value.clone());
            }
        }
    }
}

// Applied items keep their order, the others follow them.
fn merge_lists(live: &mut Vec<Value>, applied: &[Value], name: &str) {
    let mut others = std::mem::take(live);
    for item in applied {
        let same = others
            .iter()
            .position(|other| key(name, other) == key(name, item));
        let merged = match same {
            Some(index) => {
                let mut before = others.remove(index);
                merge_named(&mut before, item, "");
                before
            }
            None => item.clone(),
        };
        live.push(merged);
    }
    live.append(&mut others);
}

/// Removes the fields of `gone` from `live`; a list item is removed whole once no actor in `kept` sets a part of it.
pub fn remove(live: &mut Value, gone: &FieldSet, kept: &FieldSet) {
    for path in gone {
        let whole = (1..=path.len())
            .find(|end| matches!(path[end - 1], FieldStep::Item(_)) && !covered(&path[..*end], kept))
            .unwrap_or(path.len());
        cut(live, &path[..whole], "");
    }
}

fn covered(prefix: &[FieldStep], kept: &FieldSet) -> bool {
    kept.range(prefix.to_vec()..)
        .next()
        .is_some_and(|path| path.starts_with(prefix))
}

fn cut(value: &mut Value, path: &[FieldStep], name: &str) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    match (step, value) {
        (FieldStep::Field(field), Value::Object(map)) => {
            if let Some(inner) = map.get_mut(field) {
                cut(inner, rest, field);
                if rest.is_empty() || is_hollow(inner) {
                    map.remove(field);
                }
            }
        }
        (FieldStep::Item(wanted), Value::Array(items)) => {
            let Some(index) = items
                .iter()
                .position(|item| key(name, item).as_ref() == Some(wanted))
            else {
                return;
            };
            cut(&mut items[index], rest, "");
            if rest.is_empty() {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn keys(name: &str, items: &[Value]) -> Option<Vec<String>> {
    if name.is_empty() {
        return None;
    }
    items.iter().map(|item| key(name, item)).collect()
}

fn key(list: &str, item: &Value) -> Option<String> {
    let text = |field: &str| item.get(field).and_then(Value::as_str).map(str::to_owned);
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => text("name"),
        "volumeMounts" => text("mountPath"),
        "conditions" => text("type"),
        "ownerReferences" => text("uid"),
        "finalizers" => item.as_str().map(str::to_owned),
        "ports" => {
            let port = item.get("port").or_else(|| item.get("containerPort"))?;
            Some(format!(
                "{port}/{}",
                text("protocol").unwrap_or_else(|| "TCP".to_owned())
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_of_a_keyed_list_goes_whole_and_alone() {
        let mut live = json!({"spec": {"containers": [
            {"name": "a", "image": "1", "imagePullPolicy": "Always"}, {"name": "b", "image": "2"},
        ]}});
        let old = fields(
            &json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}}),
        );
        let new = fields(&json!({"spec": {"containers": [{"name": "b"}]}}));
        remove(&mut live, &(&old - &new), &new);
        assert_eq!(live, json!({"spec": {"containers": [{"name": "b"}]}}));
    }

    #[test]
    fn unkeyed_lists_are_replaced_and_keyed_ones_merged() {
        let mut live =
            json!({"args": ["a"], "env": [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]});
        merge(
            &mut live,
            &json!({"args": ["b", "c"], "env": [{"name": "y", "value": "3"}]}),
        );
        assert_eq!(
            live,
            json!({"args": ["b", "c"], "env": [{"name": "y", "value": "3"}, {"name": "x", "value": "1"}]})
        );
    }

    #[test]
    fn an_emptied_map_goes_too() {
        let mut live = json!({"data": {"a": "1"}, "x": 1});
        remove(&mut live, &fields(&json!({"data": {"a": "1"}})), &FieldSet::new());
        assert_eq!(live, json!({"x": 1}));
    }
}

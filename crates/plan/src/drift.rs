//! Does an observed object hold everything we want of it?
//!
//! The API server adds defaults, so equality is the wrong question. Every field we set must be there with our
//! value; fields we don't set are not ours. Lists must have our length and match item by item.

use serde::Serialize;
use serde_json::Value;

use crate::hash;
use crate::manifest::Manifest;
use crate::write::Write;

/// The apply that is needed to make `observed` hold `desired`, if one is. The result carries its digest.
#[must_use]
pub fn apply_if_needed<K: Serialize>(desired: impl Into<Manifest>, observed: Option<&K>) -> Option<Write> {
    let desired = hash::stamped(desired.into());
    let wanted = desired.to_value();
    let holds = observed
        .and_then(|object| serde_json::to_value(object).ok())
        .is_some_and(|object| is_within(&wanted, &object));
    (!holds).then(|| Write::Apply(Box::new(desired)))
}

/// Whether everything in `wanted` is in `observed`.
#[must_use]
pub fn is_within(wanted: &Value, observed: &Value) -> bool {
    match (wanted, observed) {
        (Value::Object(wanted), Value::Object(observed)) => wanted.iter().all(|(key, value)| {
            observed
                .get(key)
                .map_or_else(|| is_empty(value), |other| is_within(value, other))
        }),
        (Value::Array(wanted), Value::Array(observed)) => {
            wanted.len() == observed.len() && wanted.iter().zip(observed).all(|(a, b)| is_within(a, b))
        }
        (wanted, observed) => wanted == observed,
    }
}

// The server drops empty maps and lists, so an absent field equals an empty one.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_not_drift_and_changes_are() {
        let wanted = json!({"spec": {"ports": [{"port": 80}], "selector": {}}});
        assert!(is_within(
            &wanted,
            &json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}})
        ));
        assert!(!is_within(&wanted, &json!({"spec": {"ports": [{"port": 81}]}})));
        assert!(!is_within(
            &wanted,
            &json!({"spec": {"ports": [{"port": 80}, {"port": 81}]}})
        ));
        assert!(!is_within(&wanted, &json!({"spec": {}})));
    }

    #[test]
    fn a_field_we_stopped_writing_is_seen_by_the_digest() {
        use k8s_openapi::api::core::v1::ConfigMap;
        let full = ConfigMap {
            data: Some([("a".into(), "1".into()), ("b".into(), "2".into())].into()),
            ..Default::default()
        };
        let less = ConfigMap {
            data: Some([("a".into(), "1".into())].into()),
            ..Default::default()
        };
        let Some(Write::Apply(stored)) = apply_if_needed(full, None::<&ConfigMap>) else {
            panic!("nothing there yet")
        };
        let Manifest::ConfigMap(stored) = *stored else {
            panic!()
        };
        assert!(apply_if_needed(less, Some(&stored)).is_some());
    }
}

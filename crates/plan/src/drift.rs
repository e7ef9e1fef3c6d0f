//! Drift detection: reports whether an observed object contains everything that we want.
//!
//! The API server adds defaults, so objects are not compared for equality. Every field that we set must have our value;
//! other fields are not ours. Lists must have our length and match item by item.

use serde::Serialize;
use serde_json::Value;

use crate::hash;
use crate::manifest::Manifest;
use crate::write::Write;

/// Returns the apply that makes `observed` contain `desired`, or `None` if it does already. The apply carries a digest.
///
/// It also carries the UID of `observed`, so that it neither creates that object again nor changes a later one.
#[must_use]
pub fn apply_if_needed<K: Serialize>(desired: impl Into<Manifest>, observed: Option<&K>) -> Option<Write> {
    let mut desired = hash::stamped(desired.into());
    let observed = observed.and_then(|object| serde_json::to_value(object).ok());
    if let Some(object) = &observed {
        if is_within(&desired.to_value(), object) {
            return None;
        }
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
        desired.metadata_mut().uid = uid.map(str::to_owned);
    }
    Some(Write::Apply(Box::new(desired)))
}

/// Returns true if `observed` contains everything in `wanted`.
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
    fn an_apply_of_an_observed_object_carries_its_uid() {
        use k8s_openapi::api::core::v1::ConfigMap;
        let uid_of = |observed: Option<&ConfigMap>| match apply_if_needed(ConfigMap::default(), observed) {
            Some(Write::Apply(manifest)) => manifest.metadata().uid.clone(),
            other => panic!("{other:?}"),
        };
        let mut stored = ConfigMap::default();
        stored.metadata.uid = Some("u1".to_owned());
        assert_eq!(uid_of(Some(&stored)), Some("u1".to_owned()));
        assert_eq!(uid_of(None), None);
    }

    #[test]
    fn the_digest_shows_a_field_that_we_stopped_writing() {
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

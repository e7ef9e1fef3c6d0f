//! JSON with one form for one value.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::Result;

/// Writes JSON with sorted keys, since the maps of the specification's types are unordered.
///
/// # Errors
/// The value cannot be JSON.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Sorted {
        Leaf(Value),
        List(Vec<Self>),
        Map(BTreeMap<String, Self>),
    }
    fn sorted(value: Value) -> Sorted {
        match value {
            Value::Object(map) => {
                Sorted::Map(map.into_iter().map(|(key, value)| (key, sorted(value))).collect())
            }
            Value::Array(list) => Sorted::List(list.into_iter().map(sorted).collect()),
            leaf => Sorted::Leaf(leaf),
        }
    }
    Ok(serde_json::to_vec(&sorted(serde_json::to_value(value)?))?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn keys_are_in_order_however_deep() {
        let inner: HashMap<String, u8> = (0..20).map(|n| (format!("k{n:02}"), n)).collect();
        let value = HashMap::from([("b", vec![inner.clone()]), ("a", vec![inner])]);
        let text = String::from_utf8(canonical(&value).unwrap()).unwrap();
        assert!(text.starts_with(r#"{"a":[{"k00":0,"k01":1,"#), "{text}");
        assert_eq!(text, String::from_utf8(canonical(&value).unwrap()).unwrap());
    }
}

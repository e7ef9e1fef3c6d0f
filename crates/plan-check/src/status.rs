//! Conditions in a status, in either of the two shapes.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::findings::{Findings, repeated};
use crate::names;

/// Checks a whole status.
pub(super) fn check(status: &Value, found: &mut Findings) {
    found.unless(status.is_object(), || "must be an object".to_owned());
    let conditions = status
        .get("conditions")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let kinds = || conditions.iter().map(|condition| text(condition, "type"));
    for kind in repeated(kinds()) {
        found.unless(false, || format!("condition {kind:?} twice"));
    }
    for (condition, kind) in conditions.iter().zip(kinds()) {
        found.at(format!("condition {kind}"), |found| match condition.as_object() {
            Some(fields) => check_condition(fields, found),
            None => found.unless(false, || "must be an object".to_owned()),
        });
    }
}

fn check_condition(fields: &Map<String, Value>, found: &mut Findings) {
    let get = |key: &str| fields.get(key).and_then(Value::as_str);
    found.unless(get("type").is_some_and(names::is_qualified), || "type".to_owned());
    let status = get("status").unwrap_or_default();
    found.unless(matches!(status, "True" | "False" | "Unknown"), || {
        format!("status {status:?}")
    });
    if fields.contains_key("reason") {
        found.unless(get("reason").is_some_and(names::is_reason), || {
            format!("reason {:?}", get("reason"))
        });
    }
    // A condition that holds needs no reason; any other does.
    found.unless(status == "True" || fields.contains_key("reason"), || {
        "expected a reason".to_owned()
    });
    found.unless(get("message").unwrap_or_default().len() <= 32768, || {
        "the message is too long".to_owned()
    });
    if fields.contains_key("lastTransitionTime") {
        let time = get("lastTransitionTime").and_then(|text| text.parse::<Timestamp>().ok());
        found.unless(time.is_some(), || "lastTransitionTime must be a time".to_owned());
    }
}

fn text<'a>(condition: &'a Value, key: &str) -> &'a str {
    condition.get(key).and_then(Value::as_str).unwrap_or_default()
}

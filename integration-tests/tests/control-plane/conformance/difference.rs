//! Differences between the objects of a simulated and a real cluster.

use serde_json::Value;

use super::Snapshot;

/// Returns one line for each difference.
pub(super) fn between(simulated: &Snapshot, real: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for key in simulated.keys().filter(|key| !real.contains_key(*key)) {
        lines.push(format!("{key} is in the simulated cluster only"));
    }
    for key in real.keys().filter(|key| !simulated.contains_key(*key)) {
        lines.push(format!("{key} is in the real cluster only"));
    }
    for (key, ours) in simulated {
        let Some(theirs) = real.get(key) else { continue };
        if key.starts_with("Workspace ") || key.starts_with("Machine ") || key.starts_with("NodeClaim ") {
            compare(key, ours, theirs, Extra::Refused, &mut lines);
        } else {
            compare(
                &format!("{key}.metadata"),
                &ours["metadata"],
                &theirs["metadata"],
                Extra::Refused,
                &mut lines,
            );
            compare(key, ours, theirs, Extra::Allowed, &mut lines);
        }
    }
    lines
}

/// Fields of a real object that the simulated one lacks.
#[derive(Clone, Copy, PartialEq)]
enum Extra {
    /// They are differences.
    Refused,
    /// They are defaults of the API server that the simulator does not model.
    Allowed,
}

fn compare(path: &str, simulated: &Value, real: &Value, extra: Extra, lines: &mut Vec<String>) {
    match (simulated, real) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, value) in ours {
                let other = theirs.get(key).unwrap_or(&Value::Null);
                compare(&format!("{path}.{key}"), value, other, extra, lines);
            }
            for (key, value) in theirs.iter().filter(|(key, _)| !ours.contains_key(*key)) {
                if extra == Extra::Refused && !value.is_null() {
                    lines.push(format!("{path}.{key}: real only: {value}"));
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (value, other)) in ours.iter().zip(theirs).enumerate() {
                compare(&format!("{path}[{index}]"), value, other, extra, lines);
            }
        }
        (ours, theirs) if ours == theirs => {}
        // The API server drops empty maps and lists.
        (ours, Value::Null) if is_empty(ours) => {}
        (ours, theirs) => lines.push(format!("{path}: simulated {ours}, real {theirs}")),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

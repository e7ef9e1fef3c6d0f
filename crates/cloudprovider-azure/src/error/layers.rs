//! Parser of error bodies: both envelopes, nested details, and errors that are quoted in messages.
//!
//! It classifies nothing; the table does.

use serde_json::Value;

/// One error of a nested error, in Azure's words. Absent texts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorLayer {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) subcode: String,
    pub(crate) target: String,
}

/// Most levels that are read. Azure sends at most four.
const DEPTH: usize = 8;

/// The errors of a body, outermost first. HTML and an empty body hold none.
pub(crate) fn of_body(body: &[u8]) -> Vec<ErrorLayer> {
    serde_json::from_slice::<Value>(body)
        .map(|value| of_value(&value))
        .unwrap_or_default()
}

/// The errors of a JSON value, outermost first.
pub(crate) fn of_value(value: &Value) -> Vec<ErrorLayer> {
    let mut layers = Vec::new();
    walk(value, &mut layers, 0);
    layers
}

fn walk(value: &Value, layers: &mut Vec<ErrorLayer>, depth: usize) {
    if depth > DEPTH {
        return;
    }
    match value {
        Value::Array(values) => values.iter().for_each(|value| walk(value, layers, depth + 1)),
        Value::Object(object) => {
            let text = |key: &str| {
                object
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let layer = ErrorLayer {
                code: text("code"),
                message: text("message"),
                subcode: text("subcode"),
                target: text("target"),
            };
            if !layer.code.is_empty() || !layer.message.is_empty() {
                let message = layer.message.clone();
                layers.push(layer);
                quoted(&message, layers, depth);
            }
            for key in ["error", "details", "innererror", "innerError"] {
                object
                    .get(key)
                    .into_iter()
                    .for_each(|inner| walk(inner, layers, depth + 1));
            }
        }
        _ => {}
    }
}

/// Reads errors that a message quotes: as JSON, or as `Code="…" Message="…"`.
fn quoted(message: &str, layers: &mut Vec<ErrorLayer>, depth: usize) {
    if let Some(start) = message.find('{') {
        let mut values = serde_json::Deserializer::from_str(&message[start..]).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            return walk(&value, layers, depth + 1);
        }
    }
    let mut rest = message;
    while let Some((code, after)) = next_quoted_code(rest) {
        let text = after.split_once("Message=\"").map_or(after, |(_, text)| text);
        let text = text.split_once("\" ").map_or(text, |(text, _)| text);
        let message = text.trim_end_matches('"').trim().to_owned();
        layers.push(ErrorLayer {
            code: code.to_owned(),
            message,
            ..ErrorLayer::default()
        });
        rest = after;
    }
}

/// The next `Code="X"`, `Code: X` or `ErrorCode: X`, and the text after it.
fn next_quoted_code(text: &str) -> Option<(&str, &str)> {
    let (marker, at) = ["Code=\"", "Code: "]
        .iter()
        .filter_map(|m| text.find(m).map(|at| (*m, at)))
        .min_by_key(|found| found.1)?;
    let after = &text[at + marker.len()..];
    let end = after
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(after.len());
    let (code, after) = after.split_at(end);
    if code.is_empty() {
        next_quoted_code(after)
    } else {
        Some((code, after.trim_start_matches(['"', '.', ',', ' '])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(value: &Value) -> Vec<String> {
        of_value(value).into_iter().map(|layer| layer.code).collect()
    }

    #[test]
    fn both_envelopes_are_read() {
        assert_eq!(
            codes(&json!({"error": {"code": "A", "message": "m", "target": null, "details": []}})),
            ["A"]
        );
        let flat = json!({"code": "B", "details": null, "message": "m", "subcode": "S"});
        assert_eq!(of_value(&flat)[0].subcode, "S");
    }

    #[test]
    fn details_are_unwrapped_at_any_depth() {
        let value = json!({"code": "CreateVMSSAgentPoolFailed", "message": "failed", "details": [
            {"code": "B", "message": "b", "details": [{"code": "C", "message": "c"}]},
            {"code": "D", "innererror": {"code": "E"}}]});
        assert_eq!(codes(&value), ["CreateVMSSAgentPoolFailed", "B", "C", "D", "E"]);
    }

    #[test]
    fn errors_quoted_in_messages_are_unwrapped() {
        let json = json!({"code": "A", "message": "We failed: {\"error\":{\"code\":\"B\",\"message\":\"b\"}} sorry"});
        assert_eq!(codes(&json), ["A", "B"]);
        let go = json!({"code": "ReconcileVMSSAgentPoolFailed", "message":
            "autorest/azure: Service returned an error. Status=409 Code=\"AllocationFailed\" Message=\"No room.\" Target=\"x\""});
        let layers = of_value(&go);
        assert_eq!(
            (layers[1].code.as_str(), layers[1].message.as_str()),
            ("AllocationFailed", "No room.")
        );
        assert_eq!(
            codes(&json!({"code": "A", "message": "Code: SkuNotAvailable. Message: none"})),
            ["A", "SkuNotAvailable"]
        );
    }

    #[test]
    fn other_bodies_hold_no_errors() {
        for body in [
            "",
            "<html><title>502</title></html>",
            "[]",
            "null",
            "\"text\"",
            "{\"code\":7}",
        ] {
            assert_eq!(of_body(body.as_bytes()), [], "{body}");
        }
    }

    #[test]
    fn endless_nests_are_cut() {
        let mut value = json!({"code": "x"});
        for _ in 0..100 {
            value = json!({"code": "x", "details": [value]});
        }
        assert!(of_value(&value).len() < 10);
    }
}

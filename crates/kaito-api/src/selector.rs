//! The labels in a user's `resource.labelSelector`.
//!
//! Node affinity and claim labels need plain key/value pairs, so only `matchLabels` and `In` expressions of
//! one value count; the CRD refuses the rest. Keys that say who owns a node are dropped.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::labels::RESERVED_SELECTOR_KEYS;

/// The selector as labels, sorted, without reserved keys.
#[must_use]
pub fn labels(selector: &LabelSelector) -> BTreeMap<String, String> {
    let mut labels = selector.match_labels.clone().unwrap_or_default();
    for expression in selector.match_expressions.iter().flatten() {
        if let ("In", Some([value])) = (expression.operator.as_str(), expression.values.as_deref()) {
            labels.insert(expression.key.clone(), value.clone());
        }
    }
    labels.retain(|key, _| !RESERVED_SELECTOR_KEYS.contains(&key.as_str()));
    labels
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    use super::*;

    #[test]
    fn reserved_keys_are_dropped_and_single_values_kept() {
        let selector = LabelSelector {
            match_labels: Some(
                [
                    ("apps".into(), "phi-3".into()),
                    ("kaito.sh/workspace".into(), "x".into()),
                ]
                .into(),
            ),
            match_expressions: Some(vec![
                LabelSelectorRequirement {
                    key: "a".into(),
                    operator: "In".into(),
                    values: Some(vec!["1".into()]),
                },
                LabelSelectorRequirement {
                    key: "b".into(),
                    operator: "Exists".into(),
                    values: None,
                },
            ]),
        };
        let got = labels(&selector);
        assert_eq!(
            got.into_iter().collect::<Vec<_>>(),
            [("a".into(), "1".into()), ("apps".into(), "phi-3".into())]
        );
    }
}

//! Tests of the rules on shape: they name what the vocabulary names.

use kaito_api::labels;

use super::*;

fn has(needle: &str) -> bool {
    let variables = VARIABLES.iter().map(|variable| variable.expression);
    let rules = RULES.iter().map(|rule| rule.expression);
    variables
        .chain(rules)
        .any(|text| text.contains(&format!("'{needle}'")))
}

#[test]
fn reserved_domains_are_those_of_the_vocabulary() {
    for domain in kaito_api::node_labels::RESERVED_DOMAINS {
        let quoted = domain.replace('.', "[.]");
        let pattern = VARIABLES
            .iter()
            .find(|variable| variable.name == "foreignKeys")
            .unwrap();
        assert!(pattern.expression.contains(&quoted), "{domain}");
    }
    assert!(kaito_api::node_labels::RESERVED_KEYS.iter().all(|key| has(key)));
    assert!(has(&format!("{}/", kaito_api::node_labels::OPEN_DOMAIN)));
}

#[test]
fn offerings_are_described_as_the_controller_does() {
    use kaito_api::allowed_offerings::{CAPACITY_TYPES_FORM, ZONES_FORM};
    for form in [CAPACITY_TYPES_FORM, ZONES_FORM] {
        let says = |rule: &Rule| rule.message.contains(&format!("must be {form}"));
        assert!(RULES.iter().any(says), "{form}");
    }
}

#[test]
fn names_are_those_of_the_vocabulary() {
    let annotations = [
        labels::RUNTIME,
        labels::MAX_CONTEXT,
        labels::MODEL_REVISION,
        labels::NODE_IMAGE_FAMILY,
        labels::CAPACITY_TYPES,
        labels::ZONES,
        labels::FRONT,
        labels::ADAPTER_MODE,
        labels::API_KEYS_SECRET,
        labels::TLS_SECRET,
        labels::CORS_ORIGINS,
        labels::STALL_SECONDS,
        labels::PUSH_RETRY_SECONDS,
        labels::WEIGHTS_IMAGE,
        labels::WEIGHTS_STORAGE_CLASS,
        labels::CPU,
        labels::MEMORY,
        labels::PERFORMANCE_MODE,
        labels::USE_LOCAL_WEIGHTS,
    ];
    for name in annotations.iter().chain(&labels::RESERVED_SELECTOR_KEYS) {
        assert!(has(name), "{name}");
    }
}

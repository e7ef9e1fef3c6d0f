//! Warnings for settings that are accepted and have another effect than they say, or none. The API server shows them at
//! `kubectl apply`; nothing is rejected.

use crate::catalog;
use crate::policy::{ANNOTATIONS, Policy, Rule, Variable, WORKSPACE_CHANGES, rule, variable};

/// Policy whose violations are warnings.
pub const NOTES: Policy = Policy {
    name: "notes",
    reason: "Invalid",
    conditions: WORKSPACE_CHANGES,
    fail_closed: false,
    variables: VARIABLES,
    rules: RULES,
};

/// Warnings that read the table: a retired instance type that is replaced.
pub const CATALOG_NOTES: Policy = Policy {
    name: "catalog-notes",
    reason: "Invalid",
    conditions: WORKSPACE_CHANGES,
    fail_closed: false,
    variables: catalog::VARIABLES,
    rules: CATALOG_RULES,
};

const CATALOG_RULES: &[Rule] = &[
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || variables.rungs.size() < 2 || variables.leftOut.size() == 0",
        "'left out of the instance types: ' + variables.leftOut.join('; ')",
    ),
    rule(
        "resource.instanceType",
        "!variables.isBoughtAnew || variables.replacement == ''",
        "'instance type ' + variables.instanceType + ' is retired since ' + variables.retired[0] + ': ' \
     + variables.replacement + ' is bought instead, for $' + string((variables.micros + 5000) / 1000000) + '.' \
     + ((variables.micros + 5000) / 10000 % 100 < 10 ? '0' : '') + string((variables.micros + 5000) / 10000 % 100) \
     + '/h instead of $' + string((variables.microsOfAsked + 5000) / 1000000) + '.' \
     + ((variables.microsOfAsked + 5000) / 10000 % 100 < 10 ? '0' : '') \
     + string((variables.microsOfAsked + 5000) / 10000 % 100) + '/h for each node; write it into the Workspace'",
    ),
];

const VARIABLES: &[Variable] = &[
    ANNOTATIONS,
    variable(
        "modes",
        "(has(object.inference) && has(object.inference.preset) && has(object.inference.preset.accessMode) \
         ? [object.inference.preset.accessMode] : []) \
         + (has(object.tuning) && has(object.tuning.preset) && has(object.tuning.preset.accessMode) \
         ? [object.tuning.preset.accessMode] : [])",
    ),
];

const RULES: &[Rule] = &[
    rule(
        "metadata.annotations[kaito.sh/performance-mode]",
        "!('kaito.sh/performance-mode' in variables.annotations) \
         || variables.annotations['kaito.sh/performance-mode'] == ''",
        "'annotation kaito.sh/performance-mode has no effect: set engine parameters in the ConfigMap of inference.config'",
    ),
    rule(
        "metadata.annotations[kaito.sh/use-local-weights]",
        "!('kaito.sh/use-local-weights' in variables.annotations)",
        "'annotation kaito.sh/use-local-weights has no effect: weights come from the image of the preset or from the hub'",
    ),
    rule(
        "metadata.annotations[kaito.sh/runtime]",
        "!('kaito.sh/runtime' in variables.annotations) \
         || variables.annotations['kaito.sh/runtime'].trim().lowerAscii() != 'transformers'",
        "'runtime transformers means vllm on nodes with GPUs, and native on others'",
    ),
    rule(
        "resource.preferredNodes",
        "!has(object.resource) || !has(object.resource.preferredNodes) || object.resource.preferredNodes.size() == 0",
        "'resource.preferredNodes has no effect: nodes are chosen by resource.labelSelector'",
    ),
    rule(
        "preset.accessMode",
        "!variables.modes.exists(m, m == 'private')",
        "'preset.accessMode has no effect: name the image and its Secrets in presetOptions'",
    ),
];

#[cfg(test)]
mod tests {
    use kaito_api::labels;

    use super::*;

    #[test]
    fn names_are_those_of_the_vocabulary() {
        for name in [
            labels::PERFORMANCE_MODE,
            labels::USE_LOCAL_WEIGHTS,
            labels::RUNTIME,
        ] {
            let quoted = format!("'{name}'");
            assert!(
                RULES.iter().any(|rule| rule.expression.contains(&quoted)),
                "{name}"
            );
        }
    }
}

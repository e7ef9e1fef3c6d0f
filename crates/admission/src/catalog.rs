//! Rules that need the catalog: preset and instance type must exist, and the preset must fit the instance type.
//!
//! `params` is the ConfigMap of [`crate::table`]. Every lookup is by key or by position, so the cost of a rule does not
//! depend on the number of presets. Names are checked on creation only: they are immutable, and a catalog that shrinks
//! must not block edits of running Workspaces.

mod nearness;
mod variables;

pub(crate) use variables::VARIABLES;

use crate::policy::{Policy, Rule, WORKSPACE_CHANGES, rule};

/// The policy with the published table as its parameter.
pub const CATALOG: Policy = Policy {
    name: "catalog",
    reason: "Invalid",
    conditions: WORKSPACE_CHANGES,
    fail_closed: false,
    variables: nearness::ALL,
    rules: RULES,
};

const RULES: &[Rule] = &[
    rule(
        "preset.name",
        "!variables.isNew || variables.wanted == '' || variables.isKnown || variables.isOpen",
        "'unknown preset ' + variables.wanted + (variables.presetNear.size() > 0 \
         ? '; did you mean ' + variables.presetNear.join(', ') + '?' : '; `kubectl kaito presets list` names all')",
    ),
    rule(
        "preset.name",
        "!variables.isNew || !variables.isKnown || !(('deprecated.' + variables.preset) in variables.data)",
        "'preset ' + variables.preset + ' must not be used any more: ' \
         + variables.data['deprecated.' + variables.preset]",
    ),
    rule(
        "preset.presetOptions.modelAccessSecret",
        "!variables.isNew || !variables.isKnown || variables.namesAccessSecret || variables.hasWeightsImage \
         || !(('gated.' + variables.preset) in variables.data)",
        "'preset ' + variables.preset + ' is gated at its model hub: presetOptions.modelAccessSecret must name a Secret \
         whose key HF_TOKEN is a token of an account that accepted the license'",
    ),
    rule(
        "tuning.preset.name",
        "!variables.isNew || !variables.isTuning || !variables.isKnown || variables.methods.size() > 0",
        "'preset ' + variables.preset + ' cannot be tuned; those that can are ' + variables.data['tunable']",
    ),
    rule(
        "tuning.method",
        "!variables.isNew || !variables.isTuning || variables.methods.size() == 0 || !has(object.tuning.method) \
         || object.tuning.method.lowerAscii() in variables.methods",
        "'preset ' + variables.preset + ' cannot be tuned by ' + object.tuning.method + ', only by ' \
         + variables.methods.join(', ')",
    ),
    rule(
        "inference.preset.name",
        "!variables.isNew || variables.isTuning || !variables.isKnown || variables.runtimes.size() > 0",
        "'preset ' + variables.preset + ' cannot be served'",
    ),
    rule(
        "metadata.annotations[kaito.sh/runtime]",
        "!variables.isSizedAnew || variables.isTuning || variables.runtimes.size() == 0 \
         || variables.askedRuntime in [''] + variables.runtimes",
        "'preset ' + variables.preset + ' is not served by the runtime ' + variables.askedRuntime + ', only by ' \
         + variables.runtimes.join(', ')",
    ),
    rule(
        "metadata.annotations[kaito.sh/runtime]",
        "!variables.isSizedAnew || variables.isTuning || variables.wanted == '' || variables.askedRuntime != 'native' \
         || variables.gpus == 0",
        "'the runtime native computes on processors and would not use the GPUs of instance type ' \
         + variables.instanceType + '; leave annotation kaito.sh/runtime out, or choose an instance type without GPUs'",
    ),
    rule(
        "metadata.annotations[kaito.sh/max-context-tokens]",
        "!variables.isSizedAnew || variables.isTuning || variables.limit == 0 \
         || variables.askedContext <= variables.limit",
        "'annotation kaito.sh/max-context-tokens must be at most ' + string(variables.limit) \
         + ', the longest context of preset ' + variables.preset",
    ),
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || variables.rungs.size() < 2 || variables.rungs.size() > variables.leftOut.size()",
        "'no instance type can be used: ' + variables.leftOut.join('; ')",
    ),
    // An unknown type cannot be sized. This matters only if a GPU is needed or the name says that the type has GPUs.
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || variables.instanceType == '' || variables.isTypeKnown \
         || ((variables.wanted == '' || variables.runsAnywhere) \
             && !variables.instanceType.lowerAscii().startsWith('standard_n') \
             && variables.instanceType.matches(variables.typeForm))",
        "'instance type ' + variables.instanceType + ' is not known in cloud ' + variables.data['cloud'] \
         + (variables.typeNear.size() > 0 ? '; did you mean ' + variables.typeNear.join(', ') + '?' \
            : '; `kubectl kaito plan` lists those that fit')",
    ),
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || !variables.isUnsupported || variables.wanted == ''",
        "'instance type ' + variables.instanceType + ' is not supported: ' + variables.data[variables.unsupportedKey] \
         + (variables.wouldWork != '' ? '; what would work is ' + variables.wouldWork : '')",
    ),
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || !variables.isTypeKnown || variables.gpus > 0 || variables.wanted == '' || variables.isUnsupported \
         || (variables.isKnown && (variables.runsOnCpu || !variables.isTuning && variables.runtimes.size() == 0))",
        "'preset ' + variables.wanted + ' needs an NVIDIA GPU and instance type ' + variables.instanceType \
         + ' has none; what would work is ' + variables.wouldWork",
    ),
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || !variables.isRetired || variables.replacement != '' \
         || (variables.replaces && variables.wanted != '' && !variables.isKnown)",
        "'instance type ' + variables.instanceType + ' is retired since ' + variables.retired[0] \
         + (variables.replaces ? ', and none that costs at most 1.5 times as much replaces it' : '') \
         + (variables.wouldWork != '' ? '; what would work is ' + variables.wouldWork : '')",
    ),
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || !variables.isTooOld || variables.isRetired || variables.wanted == '' || variables.bypasses",
        "'instance type ' + variables.instanceType + ' has GPUs of compute capability ' \
         + variables.data[variables.typeKey].split(' ')[3] + ', and the image of the engine needs ' \
         + variables.data['engine-floor'] + (variables.wouldWork != '' ? '; what would work is ' + variables.wouldWork : '')",
    ),
    rule(
        "preset.name",
        "!variables.isSizedAnew || !variables.lacksToolkit",
        "'preset ' + variables.preset + ' needs the CUDA toolkit, which the image of the engine lacks; choose another preset, ' \
         + 'or ask your administrator for an image with the toolkit'",
    ),
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || variables.isTuning || !variables.isTypeKnown || variables.fits.size() == 0 \
         || variables.isRetired || variables.isTooOld || variables.isUnsupported || variables.lacksToolkit \
         || (variables.gpus == 0 && !variables.runsOnCpu) \
         || !(variables.askedRuntime in [''] + variables.runtimes) || variables.askedContext > variables.limit \
         || ((variables.bypasses || variables.configures) && variables.gpus > 0) || variables.longest >= variables.context",
        "'preset ' + variables.preset + ' with a context of ' + string(variables.context) \
         + ' tokens cannot run on instance type ' + variables.instanceType \
         + (variables.runtime == 'native' ? ', of which the runtime native uses one node' : ', however many nodes') \
         + (variables.longest > 0 ? '; at most ' + string(variables.longest) + ' tokens fit there' : '') \
         + (('memory.' + variables.preset) in variables.data \
            ? '; it needs at least ' + variables.data['memory.' + variables.preset] + ' GiB of GPU memory' : '') \
         + (variables.wouldWork != '' ? '; what would work is ' + variables.wouldWork \
            : '; no instance type of cloud ' + variables.data['cloud'] + ' holds so long a context')",
    ),
    rule(
        "resource.instanceType",
        "!variables.isBoughtAnew || variables.micros > 0 || variables.ceilings[2] + variables.ceilings[3] == -2",
        "'the price of ' + variables.bought + ' is not known, and prices have a ceiling'",
    ),
    rule(
        "resource",
        "!variables.isBoughtAnew || variables.ceilings[0] < 0 || variables.nodes <= variables.ceilings[0]",
        "variables.whatItCosts + '; a Workspace may have ' + string(variables.ceilings[0]) + ' nodes'",
    ),
    rule(
        "resource",
        "!variables.isBoughtAnew || variables.ceilings[1] < 0 || variables.nodes <= variables.ceilings[1]",
        "variables.whatItCosts + '; all Workspaces of a namespace may have ' + string(variables.ceilings[1]) + ' nodes'",
    ),
    rule(
        "resource",
        "!variables.isBoughtAnew || variables.ceilings[2] < 0 || variables.cost <= variables.ceilings[2]",
        "variables.whatItCosts + '; a Workspace may cost $' + string((variables.ceilings[2] + 5000) / 1000000) + '.' \
         + ((variables.ceilings[2] + 5000) / 10000 % 100 < 10 ? '0' : '') \
         + string((variables.ceilings[2] + 5000) / 10000 % 100) + '/h'",
    ),
    rule(
        "resource",
        "!variables.isBoughtAnew || variables.ceilings[3] < 0 || variables.cost <= variables.ceilings[3]",
        "variables.whatItCosts + '; all Workspaces of a namespace may cost $' \
         + string((variables.ceilings[3] + 5000) / 1000000) + '.' \
         + ((variables.ceilings[3] + 5000) / 10000 % 100 < 10 ? '0' : '') \
         + string((variables.ceilings[3] + 5000) / 10000 % 100) + '/h'",
    ),
];

#[cfg(test)]
mod tests {
    use kaito_api::labels;

    use super::*;

    #[test]
    fn names_are_those_of_the_vocabulary() {
        for name in [
            labels::RUNTIME,
            labels::MAX_CONTEXT,
            labels::BYPASS_RESOURCE_CHECKS,
        ] {
            let quoted = format!("'{name}'");
            assert!(
                VARIABLES
                    .iter()
                    .any(|variable| variable.expression.contains(&quoted)),
                "{name}"
            );
        }
    }
}

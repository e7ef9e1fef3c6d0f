//! Rules that need the catalog: preset and instance type must exist, and the preset must fit the instance type.
//!
//! `params` is the ConfigMap of [`crate::table`]. Every lookup is by key or by position, so the cost of a rule does not
//! depend on the number of presets. Names are checked on creation only: they are immutable, and a catalog that shrinks
//! must not block edits of running Workspaces.

use crate::policy::{ANNOTATIONS, Policy, Rule, Variable, WORKSPACE_CHANGES, rule, variable};

/// The policy with the published table as its parameter.
pub const CATALOG: Policy = Policy {
    name: "catalog",
    reason: "Invalid",
    conditions: WORKSPACE_CHANGES,
    fail_closed: false,
    variables: VARIABLES,
    rules: RULES,
};

const VARIABLES: &[Variable] = &[
    variable("data", "has(params.data) ? params.data : {}"),
    ANNOTATIONS,
    variable(
        "oldAnnotations",
        "oldObject != null && has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {}",
    ),
    variable("isNew", "oldObject == null"),
    variable("isTuning", "has(object.tuning)"),
    variable(
        "instanceType",
        "has(object.resource) && has(object.resource.instanceType) ? object.resource.instanceType : ''",
    ),
    variable(
        "isSizedAnew",
        "variables.isNew \
         || variables.instanceType != (has(oldObject.resource) && has(oldObject.resource.instanceType) \
            ? oldObject.resource.instanceType : '') \
         || ['kaito.sh/runtime', 'kaito.sh/max-context-tokens', 'kaito.sh/bypass-resource-checks'].exists(k, \
            (k in variables.annotations) != (k in variables.oldAnnotations) \
            || k in variables.annotations && variables.annotations[k] != variables.oldAnnotations[k])",
    ),
    variable(
        "wanted",
        "has(object.inference) && has(object.inference.preset) ? object.inference.preset.name \
         : (has(object.tuning) && has(object.tuning.preset) ? object.tuning.preset.name : '')",
    ),
    variable(
        "namesAccessSecret",
        "[has(object.inference) && has(object.inference.preset) ? [object.inference.preset] : [], \
         has(object.tuning) && has(object.tuning.preset) ? [object.tuning.preset] : []].exists(l, l.exists(p, \
         has(p.presetOptions) && has(p.presetOptions.modelAccessSecret) && p.presetOptions.modelAccessSecret != ''))",
    ),
    // A key of a ConfigMap must not contain a slash. No preset name contains two dots in a row.
    variable(
        "presetKey",
        "'preset.' + variables.wanted.lowerAscii().replace('/', '..')",
    ),
    variable("isKnown", "variables.presetKey in variables.data"),
    variable(
        "preset",
        "variables.isKnown ? variables.data[variables.presetKey] : ''",
    ),
    // Unknown names may exist on a hub, or the table is too large to list all presets.
    variable(
        "isOpen",
        "'open' in variables.data && (variables.data['open'] == 'all' \
         || variables.data['open'] == 'hub' && variables.wanted.matches('^[^/]+/[^/]+$'))",
    ),
    variable(
        "kin",
        "variables.wanted.size() < 3 ? [] : variables.data['presets'].split(',').filter(p, \
         p.startsWith(variables.wanted.split('/')[variables.wanted.split('/').size() - 1].lowerAscii().split('-')[0]) \
         || p.startsWith(variables.wanted.lowerAscii().substring(0, 3)))",
    ),
    variable(
        "typeKey",
        "'instance-type.' + variables.instanceType.lowerAscii()",
    ),
    variable("isTypeKnown", "variables.typeKey in variables.data"),
    variable(
        "position",
        "variables.isTypeKnown ? int(variables.data[variables.typeKey].split(' ')[0]) : -1",
    ),
    variable(
        "gpus",
        "variables.isTypeKnown ? int(variables.data[variables.typeKey].split(' ')[1]) : 0",
    ),
    variable(
        "runtimes",
        "('runtimes.' + variables.preset) in variables.data \
         ? variables.data['runtimes.' + variables.preset].split(',') : []",
    ),
    variable("runsOnCpu", "('cpu.' + variables.preset) in variables.data"),
    variable(
        "askedRuntime",
        "'kaito.sh/runtime' in variables.annotations \
         ? variables.annotations['kaito.sh/runtime'].trim().lowerAscii().replace('transformers', \
            variables.instanceType == '' ? '' : (variables.gpus > 0 ? 'vllm' : 'native')) : ''",
    ),
    variable(
        "runtime",
        "variables.askedRuntime != '' ? variables.askedRuntime \
         : (variables.runsOnCpu && variables.isTypeKnown && variables.gpus == 0 ? 'native' \
         : (variables.gpus > 0 ? 'vllm' : (variables.runtimes.size() > 0 ? variables.runtimes[0] : '')))",
    ),
    variable(
        "methods",
        "('tuning.' + variables.preset) in variables.data \
         ? variables.data['tuning.' + variables.preset].split(',') : []",
    ),
    variable(
        "limit",
        "('context.' + variables.preset) in variables.data ? int(variables.data['context.' + variables.preset]) : 0",
    ),
    variable(
        "askedContext",
        "'kaito.sh/max-context-tokens' in variables.annotations \
         && variables.annotations['kaito.sh/max-context-tokens'].trim().matches('^[0-9]{1,9}$') \
         ? int(variables.annotations['kaito.sh/max-context-tokens'].trim()) : 0",
    ),
    variable(
        "context",
        "variables.askedContext > 0 ? variables.askedContext : int(variables.data['default-context'])",
    ),
    // The longest context that fits each instance type; 0 if none fits.
    variable(
        "fits",
        "(variables.runtime + '.' + variables.preset) in variables.data \
         ? variables.data[variables.runtime + '.' + variables.preset].split(',') : []",
    ),
    variable(
        "longest",
        "variables.position >= 0 && variables.position < variables.fits.size() \
         ? int(variables.fits[variables.position]) : 0",
    ),
    variable(
        "fitting",
        "variables.data['instance-types'].split(',').filter(t, \
         int(variables.fits[int(variables.data['instance-type.' + t.lowerAscii()].split(' ')[0])]) >= variables.context)",
    ),
    variable("best", "'best-' + variables.runtime + '.' + variables.preset"),
    variable("gpuTypes", "variables.data['gpu-instance-types'].split(',')"),
    variable(
        "wouldWork",
        "variables.isTuning || variables.fits.size() == 0 \
         ? variables.gpuTypes.filter(t, variables.gpuTypes.indexOf(t) < 5).join(', ') \
         : (variables.best in variables.data && variables.context <= int(variables.data['default-context']) \
            ? variables.data[variables.best] \
            : variables.fitting.filter(t, variables.fitting.indexOf(t) < 5).join(', '))",
    ),
    variable(
        "bypasses",
        "'kaito.sh/bypass-resource-checks' in variables.annotations",
    ),
];

const RULES: &[Rule] = &[
    rule(
        "preset.name",
        "!variables.isNew || variables.wanted == '' || variables.isKnown || variables.isOpen",
        "'unknown preset ' + variables.wanted + (variables.kin.size() > 0 \
         ? '; of a similar name are ' + variables.kin.join(', ') : '') + '; `kubectl kaito presets list` names all'",
    ),
    rule(
        "preset.name",
        "!variables.isNew || !variables.isKnown || !(('deprecated.' + variables.preset) in variables.data)",
        "'preset ' + variables.preset + ' must not be used any more: ' \
         + variables.data['deprecated.' + variables.preset]",
    ),
    rule(
        "preset.presetOptions.modelAccessSecret",
        "!variables.isNew || !variables.isKnown || variables.namesAccessSecret \
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
    // An unknown type cannot be sized. This matters only if a GPU is needed or the name says that the type has GPUs.
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || variables.instanceType == '' || variables.isTypeKnown \
         || ((variables.wanted == '' || variables.runsOnCpu) \
             && !variables.instanceType.lowerAscii().startsWith('standard_n') \
             && variables.instanceType.matches(variables.data['cloud'] == 'aws' \
                ? '^[a-z][a-z0-9-]*[.][a-z0-9-]+$' : '^(?i)standard_[a-z]+[0-9]+[a-z0-9_-]*$'))",
        "'instance type ' + variables.instanceType + ' is not known in cloud ' + variables.data['cloud'] \
         + '; known are ' + variables.data['instance-types'].split(',').join(', ')",
    ),
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || !variables.isTypeKnown || variables.gpus > 0 || variables.wanted == '' \
         || (variables.isKnown && (variables.runsOnCpu || !variables.isTuning && variables.runtimes.size() == 0))",
        "'preset ' + variables.wanted + ' needs an NVIDIA GPU and instance type ' + variables.instanceType \
         + ' has none; what would work is ' + variables.wouldWork",
    ),
    rule(
        "resource.instanceType",
        "!variables.isSizedAnew || variables.isTuning || !variables.isTypeKnown || variables.fits.size() == 0 \
         || (variables.gpus == 0 && !variables.runsOnCpu) \
         || !(variables.askedRuntime in [''] + variables.runtimes) || variables.askedContext > variables.limit \
         || (variables.bypasses && variables.gpus > 0) || variables.longest >= variables.context",
        "'preset ' + variables.preset + ' with a context of ' + string(variables.context) \
         + ' tokens cannot run on instance type ' + variables.instanceType \
         + (variables.runtime == 'native' ? ', of which the runtime native uses one node' : ', however many nodes') \
         + (variables.longest > 0 ? '; at most ' + string(variables.longest) + ' tokens fit there' : '') \
         + (('memory.' + variables.preset) in variables.data \
            ? '; it needs at least ' + variables.data['memory.' + variables.preset] + ' GiB of GPU memory' : '') \
         + (variables.wouldWork != '' ? '; what would work is ' + variables.wouldWork \
            : '; no instance type of cloud ' + variables.data['cloud'] + ' holds so long a context')",
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

//! Variables of the policies that read the table: the preset, the instance type, the fit of the two, and the price.

use crate::policy::{ANNOTATIONS, Variable, variable};

/// Variables; each uses those before it.
pub(crate) const VARIABLES: &[Variable] = &[
    variable("data", "has(params.data) ? params.data : {}"),
    ANNOTATIONS,
    variable(
        "oldAnnotations",
        "oldObject != null && has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {}",
    ),
    variable("isNew", "oldObject == null"),
    variable("isTuning", "has(object.tuning)"),
    variable(
        "asked",
        "has(object.resource) && has(object.resource.instanceType) ? object.resource.instanceType : ''",
    ),
    variable(
        "isSizedAnew",
        "variables.isNew \
         || variables.asked != (has(oldObject.resource) && has(oldObject.resource.instanceType) \
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
    // Then the hub is not asked.
    variable(
        "hasWeightsImage",
        "!variables.isTuning && 'kaito.sh/weights-image' in variables.annotations \
         && variables.annotations['kaito.sh/weights-image'].trim() != ''",
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
        "runtimes",
        "('runtimes.' + variables.preset) in variables.data \
         ? variables.data['runtimes.' + variables.preset].split(',') : []",
    ),
    // Small models only are tuned there, and run on types whose memory is not known.
    variable(
        "runsAnywhere",
        "('cpu.' + variables.preset) in variables.data && variables.data['cpu.' + variables.preset] == 'any'",
    ),
    variable(
        "runsOnCpu",
        "variables.runsAnywhere || !variables.isTuning && ('cpu.' + variables.preset) in variables.data",
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
    variable(
        "bypasses",
        "'kaito.sh/bypass-resource-checks' in variables.annotations",
    ),
    // The settings of a ConfigMap are not known here. The controller sizes with them before it buys nodes.
    variable(
        "configures",
        "has(object.inference) && has(object.inference.config) && object.inference.config != ''",
    ),
    variable(
        "replaces",
        "'retired-instance-types' in variables.data && variables.data['retired-instance-types'] == 'replace'",
    ),
    variable(
        "isTemplate",
        "has(object.inference) && has(object.inference.template)",
    ),
    variable(
        "count",
        "has(object.resource) && has(object.resource.count) ? object.resource.count : 1",
    ),
    variable(
        "oldCount",
        "oldObject != null && has(oldObject.resource) && has(oldObject.resource.count) ? oldObject.resource.count : 1",
    ),
    variable(
        "nodesRow",
        "('nodes.' + variables.preset) in variables.data ? variables.data['nodes.' + variables.preset].split(',') : []",
    ),
    // A ceiling that is not set is -1.
    variable(
        "ceilings",
        "['ceiling-workspace-nodes', 'ceiling-namespace-nodes', 'ceiling-workspace-usd', 'ceiling-namespace-usd'].map(k, \
         k in variables.data ? int(variables.data[k]) : -1)",
    ),
    // Form of the names of instance types.
    variable(
        "typeForm",
        "variables.data['cloud'] == 'aws' ? '^[a-z][a-z0-9-]*[.][a-z0-9-]+$' \
         : (variables.data['cloud'] == 'gcp' ? '^[a-z][a-z0-9]*-[a-z0-9-]+$' : '^(?i)standard_[a-z]+[0-9]+[a-z0-9_-]*$')",
    ),
    // The types that are tried, in order. The lists that follow have the same order.
    variable(
        "rungs",
        "variables.asked.split(',').map(t, t.trim()).filter(t, t != '')",
    ),
    // NVIDIA GPUs; -1 if the type is not known.
    variable(
        "rungGpus",
        "variables.rungs.map(t, ('instance-type.' + t.lowerAscii()) in variables.data \
         ? int(variables.data['instance-type.' + t.lowerAscii()].split(' ')[1]) : -1)",
    ),
    variable(
        "rungRuntimes",
        "variables.rungs.map(t, 'kaito.sh/runtime' in variables.annotations \
         && variables.annotations['kaito.sh/runtime'].trim() != '' \
         ? variables.annotations['kaito.sh/runtime'].trim().lowerAscii().replace('transformers', \
            variables.rungGpus[variables.rungs.indexOf(t)] > 0 ? 'vllm' : 'native') \
         : (variables.rungGpus[variables.rungs.indexOf(t)] > 0 ? 'vllm' \
            : (variables.runsOnCpu && variables.rungGpus[variables.rungs.indexOf(t)] == 0 ? 'native' \
            : (variables.runtimes.size() > 0 ? variables.runtimes[0] : ''))))",
    ),
    // The type that is bought: another one if it is retired; empty if there is none, or only the controller can tell.
    variable(
        "rungBought",
        "variables.rungs.map(t, !variables.makesNodes || !(('retired.' + t.lowerAscii()) in variables.data) ? t \
         : (!variables.replaces ? '' \
         : (variables.isTuning ? variables.data['retired.' + t.lowerAscii()].split(' ')[2].replace('-', '') \
         : (('replaced.' + t.lowerAscii() + '.' + variables.preset) in variables.data \
            && variables.data['replaced.' + t.lowerAscii() + '.' + variables.preset].split(',') \
               .exists(r, int(r.split(':')[1]) >= variables.context) \
            ? variables.data['replaced.' + t.lowerAscii() + '.' + variables.preset].split(',') \
               .filter(r, int(r.split(':')[1]) >= variables.context)[0].split(':')[0] \
            : (variables.wanted == '' || variables.bypasses \
               ? variables.data['retired.' + t.lowerAscii()].split(' ')[1].replace('-', '') : '')))))",
    ),
    // The longest context that fits; -1 if that is no question here.
    variable(
        "rungLongest",
        "variables.rungs.map(t, variables.isTuning || variables.rungGpus[variables.rungs.indexOf(t)] < 0 \
         || !((variables.rungRuntimes[variables.rungs.indexOf(t)] + '.' + variables.preset) in variables.data) \
         || (variables.bypasses || variables.configures) && variables.rungGpus[variables.rungs.indexOf(t)] > 0 \
         || variables.rungBought[variables.rungs.indexOf(t)] != t || variables.askedContext > variables.limit ? -1 \
         : int(variables.data[variables.rungRuntimes[variables.rungs.indexOf(t)] + '.' + variables.preset].split(',')[ \
            int(variables.data['instance-type.' + t.lowerAscii()].split(' ')[0])]))",
    ),
    // The reason why a type cannot be used; empty if it can. The rules on a single type say the same.
    variable(
        "rungProblems",
        "variables.rungs.map(t, variables.rungGpus[variables.rungs.indexOf(t)] < 0 \
         && !((variables.wanted == '' || variables.runsAnywhere) && !t.lowerAscii().startsWith('standard_n') \
              && t.matches(variables.typeForm)) \
         ? 'it is not known in cloud ' + variables.data['cloud'] \
         : (variables.wanted != '' && ('unsupported.' + t.lowerAscii()) in variables.data \
         ? variables.data['unsupported.' + t.lowerAscii()] \
         : (variables.rungGpus[variables.rungs.indexOf(t)] == 0 && variables.wanted != '' \
            && !(variables.isKnown && (variables.runsOnCpu || !variables.isTuning && variables.runtimes.size() == 0)) \
         ? 'it has no NVIDIA GPU' \
         : (variables.rungBought[variables.rungs.indexOf(t)] == '' \
            && !(variables.replaces && variables.wanted != '' && !variables.isKnown) \
         ? 'it is retired since ' + variables.data['retired.' + t.lowerAscii()].split(' ')[0] \
         : (variables.rungBought[variables.rungs.indexOf(t)] == t && 'too-old' in variables.data \
            && t.lowerAscii() in variables.data['too-old'].split(',') && variables.wanted != '' && !variables.bypasses \
         ? 'the image of the engine needs GPUs of compute capability ' + variables.data['engine-floor'] \
         : (!variables.isTuning && variables.wanted != '' && variables.rungGpus[variables.rungs.indexOf(t)] > 0 \
            && variables.rungRuntimes[variables.rungs.indexOf(t)] == 'native' \
         ? 'the runtime native would not use its GPUs' \
         : (variables.rungLongest[variables.rungs.indexOf(t)] >= 0 \
            && variables.rungLongest[variables.rungs.indexOf(t)] < variables.context \
         ? 'preset ' + variables.preset + ' with a context of ' + string(variables.context) + ' tokens does not fit it' \
         : '')))))))",
    ),
    variable(
        "leftOut",
        "variables.rungs.filter(t, variables.rungProblems[variables.rungs.indexOf(t)] != '') \
         .map(t, t + ': ' + variables.rungProblems[variables.rungs.indexOf(t)])",
    ),
    variable(
        "rungNodes",
        "variables.rungs.map(t, variables.isTemplate ? variables.count \
         : (variables.isTuning || variables.bypasses || variables.configures \
            || variables.rungGpus[variables.rungs.indexOf(t)] < 0 || variables.rungBought[variables.rungs.indexOf(t)] != t \
            || variables.rungRuntimes[variables.rungs.indexOf(t)] != 'vllm' || variables.nodesRow.size() == 0 \
            || variables.context < int(variables.data['default-context']) \
            || int(variables.nodesRow[int(variables.data['instance-type.' + t.lowerAscii()].split(' ')[0])]) < 1 ? 1 \
         : int(variables.nodesRow[int(variables.data['instance-type.' + t.lowerAscii()].split(' ')[0])])))",
    ),
    // Millionths of a dollar an hour. Too many nodes, and an unknown price under a ceiling, are dearest; -1 is left out.
    variable(
        "rungCosts",
        "variables.rungs.map(t, variables.rungProblems[variables.rungs.indexOf(t)] != '' ? -1 \
         : (variables.ceilings[0] >= 0 && variables.rungNodes[variables.rungs.indexOf(t)] > variables.ceilings[0] \
            || variables.ceilings[1] >= 0 && variables.rungNodes[variables.rungs.indexOf(t)] > variables.ceilings[1] \
         ? 9000000000000001 \
         : (('instance-type.' + variables.rungBought[variables.rungs.indexOf(t)].lowerAscii()) in variables.data \
            && variables.data['instance-type.' + variables.rungBought[variables.rungs.indexOf(t)].lowerAscii()] \
               .split(' ')[4] != '-' \
         ? variables.rungNodes[variables.rungs.indexOf(t)] * int(variables.data['instance-type.' \
            + variables.rungBought[variables.rungs.indexOf(t)].lowerAscii()].split(' ')[4]) \
         : (variables.ceilings[2] + variables.ceilings[3] == -2 ? 0 : 9000000000000000))))",
    ),
    // The type that the rules judge: the only one, or the dearest that can be used, so that no ceiling is exceeded later.
    variable(
        "instanceType",
        "variables.rungs.size() < 2 ? variables.asked.trim() \
         : (variables.rungs.size() == variables.leftOut.size() ? '' \
         : variables.rungs.filter(t, variables.rungCosts[variables.rungs.indexOf(t)] >= 0 \
            && variables.rungCosts.all(c, c <= variables.rungCosts[variables.rungs.indexOf(t)]))[0])",
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
        "unsupportedKey",
        "'unsupported.' + variables.instanceType.lowerAscii()",
    ),
    variable("isUnsupported", "variables.unsupportedKey in variables.data"),
    variable(
        "isTooOld",
        "'too-old' in variables.data && variables.instanceType != '' && variables.instanceType.lowerAscii() in variables.data['too-old'].split(',')",
    ),
    // Bypassed, as on nodes of the user's own, where the controller reads the GPUs from the nodes.
    variable(
        "lacksToolkit",
        "('toolkit.' + variables.preset) in variables.data && !variables.isTuning && !variables.bypasses \
         && variables.runtime == 'vllm'",
    ),
    variable("retiredKey", "'retired.' + variables.instanceType.lowerAscii()"),
    variable(
        "isRetired",
        "variables.makesNodes && variables.retiredKey in variables.data",
    ),
    // Day, replacement for templates, replacement for tunings.
    variable(
        "retired",
        "variables.isRetired ? variables.data[variables.retiredKey].split(' ') : []",
    ),
    variable(
        "replacementsKey",
        "'replaced.' + variables.instanceType.lowerAscii() + '.' + variables.preset",
    ),
    variable(
        "replacements",
        "variables.replacementsKey in variables.data \
         ? variables.data[variables.replacementsKey].split(',').filter(r, int(r.split(':')[1]) >= variables.context) : []",
    ),
    // The type that is bought instead of a retired one; empty if there is none, or only the controller can tell.
    variable(
        "replacement",
        "!variables.isRetired || !variables.replaces ? '' \
         : (variables.isTuning ? variables.retired[2].replace('-', '') \
         : (variables.replacements.size() > 0 ? variables.replacements[0].split(':')[0] \
         : (variables.wanted == '' || variables.bypasses ? variables.retired[1].replace('-', '') : '')))",
    ),
    variable(
        "bought",
        "variables.replacement != '' ? variables.replacement : variables.instanceType",
    ),
    variable(
        "microsOfAsked",
        "variables.isTypeKnown && variables.data[variables.typeKey].split(' ')[4] != '-' \
         ? int(variables.data[variables.typeKey].split(' ')[4]) : 0",
    ),
    variable("boughtKey", "'instance-type.' + variables.bought.lowerAscii()"),
    variable(
        "micros",
        "variables.boughtKey in variables.data && variables.data[variables.boughtKey].split(' ')[4] != '-' \
         ? int(variables.data[variables.boughtKey].split(' ')[4]) : 0",
    ),
    variable(
        "isBoughtAnew",
        "variables.makesNodes && variables.instanceType != '' \
         && (variables.isSizedAnew || variables.isTemplate && variables.count != variables.oldCount)",
    ),
    variable(
        "nodesAtDefault",
        "variables.runtime == 'vllm' && !variables.isRetired && variables.position >= 0 \
         && variables.position < variables.nodesRow.size() ? int(variables.nodesRow[variables.position]) : 0",
    ),
    // The least number: a longer context may need more, which the controller computes.
    variable(
        "nodes",
        "variables.isTemplate ? variables.count \
         : (variables.isTuning || variables.bypasses || variables.configures || variables.nodesAtDefault < 1 \
            || variables.context < int(variables.data['default-context']) ? 1 : variables.nodesAtDefault)",
    ),
    variable("cost", "variables.nodes * variables.micros"),
    variable(
        "whatItCosts",
        "string(variables.nodes) + ' node' + (variables.nodes == 1 ? '' : 's') + ' of ' + variables.bought \
         + (variables.micros == 0 ? '' : ' would cost $' + string((variables.cost + 5000) / 1000000) + '.' \
            + ((variables.cost + 5000) / 10000 % 100 < 10 ? '0' : '') + string((variables.cost + 5000) / 10000 % 100) \
            + '/h')",
    ),
];

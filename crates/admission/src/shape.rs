//! Rules that need only the object, but that the CRD cannot express. CEL of a CRD sees neither annotations nor the node
//! provisioner, and rules on containers would exceed its cost budget.

use crate::policy::{ANNOTATIONS, Policy, Rule, Variable, WORKSPACE_CHANGES, rule, variable};

/// Policy without a parameter.
pub const SHAPE: Policy = Policy {
    name: "shape",
    reason: "Invalid",
    conditions: WORKSPACE_CHANGES,
    fail_closed: true,
    variables: VARIABLES,
    rules: RULES,
};

const VARIABLES: &[Variable] = &[
    ANNOTATIONS,
    variable(
        "instanceType",
        "has(object.resource) && has(object.resource.instanceType) ? object.resource.instanceType : ''",
    ),
    variable(
        "oldInstanceType",
        "oldObject != null && has(oldObject.resource) && has(oldObject.resource.instanceType) \
         ? oldObject.resource.instanceType : ''",
    ),
    variable(
        "rungs",
        "variables.instanceType.split(',').map(t, t.trim().lowerAscii())",
    ),
    variable(
        "capacityTypes",
        "'kaito.sh/capacity-types' in variables.annotations \
         ? variables.annotations['kaito.sh/capacity-types'].split(',').map(t, t.trim()) : ['']",
    ),
    variable(
        "zones",
        "'kaito.sh/zones' in variables.annotations \
         ? variables.annotations['kaito.sh/zones'].split(',').map(z, z.trim()) : ['']",
    ),
    variable(
        "matchLabels",
        "has(object.resource) && has(object.resource.labelSelector) && has(object.resource.labelSelector.matchLabels) \
         ? object.resource.labelSelector.matchLabels : {}",
    ),
    variable(
        "matchExpressions",
        "has(object.resource) && has(object.resource.labelSelector) \
         && has(object.resource.labelSelector.matchExpressions) \
         ? object.resource.labelSelector.matchExpressions : []",
    ),
    variable(
        "selectorKeys",
        "variables.matchLabels.map(k, k) + variables.matchExpressions.map(e, e.key)",
    ),
    // The keys of `kaito_api::labels::RESERVED_SELECTOR_KEYS`.
    variable(
        "reserved",
        "['kaito.sh/workspace', 'kaito.sh/ragengine', 'kaito.sh/workspacenamespace', 'kaito.sh/ragenginenamespace', \
         'karpenter.kaito.sh/workspace-name', 'karpenter.kaito.sh/workspace-namespace', \
         'karpenter.kaito.sh/inferenceset', 'karpenter.kaito.sh/inferenceset-namespace']",
    ),
    // The patterns are those of Kubernetes' `IsQualifiedName` and, below, `IsValidLabelValue`.
    variable(
        "badKeys",
        "variables.selectorKeys.filter(k, k.size() > 317 \
         || !k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
    ),
    // The keys that `kaito_api::node_labels` reserves. Reserved selector keys are dropped, so they are harmless.
    variable(
        "foreignKeys",
        "variables.selectorKeys.filter(k, !(k in variables.reserved) && !k.startsWith('app.kubernetes.io/') && (k == 'agentpool' \
         || k.matches('^([-a-z0-9]+[.])*(kubernetes[.]io|k8s[.]io|x-k8s[.]io|kaito[.]sh|karpenter[.]sh|k8s[.]aws|amazonaws[.]com|azure[.]com|cloud[.]google[.]com|nvidia[.]com)/')))",
    ),
    variable(
        "selectorValues",
        "variables.matchLabels.map(k, variables.matchLabels[k]) \
         + variables.matchExpressions.filter(e, has(e.values)).map(e, e.values.size() > 0 ? e.values[0] : '')",
    ),
    variable(
        "adapters",
        "has(object.inference) && has(object.inference.adapters) ? object.inference.adapters : []",
    ),
    variable(
        "input",
        "has(object.tuning) && has(object.tuning.input) ? object.tuning.input : {}",
    ),
    variable(
        "output",
        "has(object.tuning) && has(object.tuning.output) ? object.tuning.output : {}",
    ),
    variable(
        "images",
        "variables.adapters.filter(a, has(a.source) && has(a.source.image)).map(a, a.source.image) \
         + (has(variables.input.image) ? [variables.input.image] : []) \
         + (has(variables.output.image) ? [variables.output.image] : []) \
         + (has(object.inference) && has(object.inference.preset) && has(object.inference.preset.presetOptions) \
            && has(object.inference.preset.presetOptions.image) ? [object.inference.preset.presetOptions.image] : [])",
    ),
    // The pattern is the grammar of github.com/distribution/reference, in any letter case: published manifests contain
    // placeholders in upper case.
    variable(
        "badImages",
        "variables.images.filter(i, i != '' && !i.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?(:[0-9]+)?/)?[A-Za-z0-9]+(([.]|_|__|-+)[A-Za-z0-9]+)*(/[A-Za-z0-9]+(([.]|_|__|-+)[A-Za-z0-9]+)*)*(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))?$'))",
    ),
    // Secrets that Workspaces name outside the template.
    variable(
        "options",
        "(has(object.inference) && has(object.inference.preset) && has(object.inference.preset.presetOptions) \
         ? [object.inference.preset.presetOptions] : []) \
         + (has(object.tuning) && has(object.tuning.preset) && has(object.tuning.preset.presetOptions) \
         ? [object.tuning.preset.presetOptions] : [])",
    ),
    variable(
        "pullSecrets",
        "variables.options.filter(o, has(o.imagePullSecrets)).map(o, o.imagePullSecrets) \
         + variables.adapters.filter(a, has(a.source) && has(a.source.imagePullSecrets)) \
            .map(a, a.source.imagePullSecrets) \
         + (has(variables.input.imagePullSecrets) ? [variables.input.imagePullSecrets] : [])",
    ),
    variable(
        "singleSecrets",
        "variables.options.filter(o, has(o.modelAccessSecret) && o.modelAccessSecret != '') \
            .map(o, o.modelAccessSecret) \
         + (has(variables.output.image) && variables.output.image != '' && has(variables.output.imagePushSecret) \
            ? [variables.output.imagePushSecret] : [])",
    ),
    variable(
        "volumes",
        "variables.adapters.filter(a, has(a.source) && has(a.source.volumeSource)).map(a, a.source.volumeSource) \
         + (has(variables.input.volumeSource) ? [variables.input.volumeSource] : []) \
         + (has(variables.output.volumeSource) ? [variables.output.volumeSource] : [])",
    ),
    variable(
        "hasTemplate",
        "has(object.inference) && has(object.inference.template)",
    ),
    variable(
        "containers",
        "variables.hasTemplate && has(object.inference.template.spec) \
         && has(object.inference.template.spec.containers) ? object.inference.template.spec.containers : []",
    ),
];

/// A rule on an annotation of ours, if it is set: the test that follows its trimmed value, and what it must be.
macro_rules! annotation {
    ($name:literal, $test:expr, $must:literal) => {
        rule(
            concat!("metadata.annotations[kaito.sh/", $name, "]"),
            concat!(
                "!('kaito.sh/",
                $name,
                "' in variables.annotations) || variables.annotations['kaito.sh/",
                $name,
                "'].trim()",
                $test
            ),
            concat!("'annotation kaito.sh/", $name, " must be ", $must, "'"),
        )
    };
}

const RULES: &[Rule] = &[
    rule(
        "resource.instanceType",
        "!variables.makesNodes || variables.instanceType != ''",
        "'resource.instanceType must be set: nodes are made for this Workspace; `kubectl kaito plan` compares instance types'",
    ),
    // The spelling that `instance_types::ladder` reads.
    rule(
        "resource.instanceType",
        "variables.instanceType == '' || variables.instanceType == variables.oldInstanceType \
         || variables.rungs.size() <= 8 && variables.rungs.all(t, t != '' && variables.rungs.filter(u, u == t).size() == 1)",
        "'resource.instanceType must name one instance type, or up to 8 different ones with commas between them, in the order in which they are tried'",
    ),
    // A value that was set before the switch to existing nodes may stay.
    rule(
        "resource.instanceType",
        "variables.makesNodes || variables.instanceType == '' \
         || variables.instanceType == variables.oldInstanceType",
        "'resource.instanceType must be empty: nodes are brought along here, and found by resource.labelSelector'",
    ),
    rule(
        "resource.labelSelector",
        "variables.selectorKeys.size() == 0 || variables.selectorKeys.exists(k, !(k in variables.reserved))",
        "'resource.labelSelector must hold a label that is not reserved; reserved are ' + variables.reserved.join(', ')",
    ),
    rule(
        "resource.labelSelector",
        "variables.badKeys.size() == 0",
        "'resource.labelSelector has a key that no label can have: ' + variables.badKeys.join(', ')",
    ),
    rule(
        "resource.labelSelector",
        "variables.selectorValues.all(v, v.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$'))",
        "'resource.labelSelector has a value that no label can have: at most 63 letters, digits, dashes, underscores and dots, with a letter or digit at both ends'",
    ),
    // Selectors are immutable, and existing nodes are only read.
    rule(
        "resource.labelSelector",
        "oldObject != null || !variables.makesNodes || variables.foreignKeys.size() == 0",
        "'resource.labelSelector has labels that users cannot put on nodes: ' + variables.foreignKeys.join(', ') \
         + '; use a label such as apps or one with a domain of your own'",
    ),
    annotation!(
        "runtime",
        ".lowerAscii() in ['', 'vllm', 'native', 'transformers']",
        "vllm or native (transformers is vllm on nodes with GPUs, and native on others)"
    ),
    annotation!(
        "max-context-tokens",
        ".matches('^([1-9][0-9]{0,8})?$')",
        "a number of tokens, such as 8192"
    ),
    annotation!(
        "node-image-family",
        ".lowerAscii() in ['', 'ubuntu', 'azurelinux']",
        "ubuntu or azurelinux"
    ),
    // The spelling that `kaito_api::AllowedOfferings` reads, in both.
    rule(
        "metadata.annotations[kaito.sh/capacity-types]",
        "variables.capacityTypes == [''] || variables.capacityTypes.size() <= 3 \
         && variables.capacityTypes.all(t, t in ['spot', 'on-demand', 'reserved'] \
         && variables.capacityTypes.filter(u, u == t).size() == 1)",
        "'annotation kaito.sh/capacity-types must be spot, on-demand or reserved, or several of them, each once, with commas between them, in the order in which they are tried'",
    ),
    rule(
        "metadata.annotations[kaito.sh/zones]",
        "variables.zones == [''] || variables.zones.size() <= 8 \
         && variables.zones.all(z, z.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$') \
         && variables.zones.filter(u, u == z).size() == 1)",
        "'annotation kaito.sh/zones must be up to 8 different zones such as 1 or eastus2-1, with commas between them, in the order in which they are tried'",
    ),
    rule(
        "metadata.annotations[kaito.sh/performance-mode]",
        "!('kaito.sh/performance-mode' in variables.annotations) \
         || variables.annotations['kaito.sh/performance-mode'] in ['', 'balanced', 'interactivity', 'throughput']",
        "'annotation kaito.sh/performance-mode must be balanced, interactivity or throughput'",
    ),
    annotation!(
        "model-revision",
        ".matches('^([0-9a-f]{40})?$')",
        "a commit of the model on its hub: 40 digits of 0-9 and a-f"
    ),
    rule(
        "metadata.annotations[kaito.sh/model-revision]",
        "!('kaito.sh/model-revision' in variables.annotations) \
         || variables.annotations['kaito.sh/model-revision'].trim() == '' || !variables.hasTemplate",
        "'annotation kaito.sh/model-revision has no effect: the Workspace has a template of its own'",
    ),
    annotation!("front", " in ['', 'enabled', 'disabled']", "enabled or disabled"),
    annotation!("adapter-mode", " in ['', 'merge', 'request']", "merge or request"),
    annotation!(
        "api-keys-secret",
        ".matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",
        "the name of a Secret"
    ),
    annotation!(
        "tls-secret",
        ".matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",
        "the name of a Secret"
    ),
    // The controller also refuses spellings of addresses and ports that no browser uses.
    annotation!(
        "cors-origins",
        ".matches('^([*]|none|https?://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?( *, *https?://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?)*|)$')",
        "origins such as https://chat.example.com, separated by commas, or * or none"
    ),
    annotation!(
        "stall-seconds",
        ".matches('^([1-9][0-9]{0,5}|)$')",
        "a number of seconds from 1 to 999999"
    ),
    // From a minute to almost a week.
    annotation!(
        "push-retry-seconds",
        ".matches('^([6-9][0-9]|[1-9][0-9]{2,4}|[1-5][0-9]{5}|)$')",
        "a number of seconds from 60 to 599999"
    ),
    // In lower case, unlike images of the spec: no published manifest has this annotation.
    annotation!(
        "weights-image",
        ".matches('^(([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]+)?/)?[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)*(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?)?$')",
        "an image, such as registry.example.com/weights/phi-4@sha256:…"
    ),
    annotation!(
        "weights-storage-class",
        ".matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",
        "the name of a storage class, or none"
    ),
    rule(
        "metadata.annotations[kaito.sh/weights-storage-class]",
        "!('kaito.sh/weights-storage-class' in variables.annotations) \
         || variables.annotations['kaito.sh/weights-storage-class'].trim() in ['', 'none'] \
         || !('kaito.sh/weights-image' in variables.annotations) \
         || variables.annotations['kaito.sh/weights-image'].trim() == ''",
        "'annotation kaito.sh/weights-storage-class has no effect beside kaito.sh/weights-image: remove one of them'",
    ),
    annotation!(
        "cpu",
        ".matches('^([0-9]*[1-9][0-9]*m?|[0-9]+[.][0-9]*[1-9][0-9]*|)$')",
        "a number of processors, such as 4 or 500m"
    ),
    annotation!(
        "memory",
        ".matches('^([0-9]*[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?|)$')",
        "an amount of memory, such as 16Gi"
    ),
    rule(
        "metadata.annotations[kaito.sh/use-local-weights]",
        "!('kaito.sh/use-local-weights' in variables.annotations) \
         || variables.annotations['kaito.sh/use-local-weights'] in ['true', 'false']",
        "'annotation kaito.sh/use-local-weights must be true or false'",
    ),
    rule(
        "metadata.annotations[kaito.sh/upgrades]",
        "!('kaito.sh/upgrades' in variables.annotations) || variables.annotations['kaito.sh/upgrades'] in ['', 'manual']",
        "'annotation kaito.sh/upgrades must be manual, which keeps automatic upgrades away; remove it to allow them'",
    ),
    rule(
        "inference.template",
        "!variables.hasTemplate || variables.containers.size() > 0",
        "'inference.template.spec.containers must hold a container: without one no pod can be made'",
    ),
    rule(
        "inference.template",
        "variables.containers.all(c, has(c.name) && c.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') \
         && has(c.image) && c.image != '')",
        "'every container of inference.template needs an image and a name of at most 63 lower-case letters, digits and dashes'",
    ),
    rule(
        "volumeSource",
        "variables.volumes.all(v, v.filter(k, k != 'name').size() == 1)",
        "'a volumeSource must name exactly one kind of volume, such as persistentVolumeClaim'",
    ),
    rule(
        "tuning.input.name",
        "!has(variables.input.name) || variables.input.name.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$')",
        "'tuning.input.name must be at most 63 lower-case letters, digits and dashes'",
    ),
    // Published manifests have placeholders in upper case, so the letters are not checked.
    rule(
        "secrets",
        "variables.pullSecrets.all(l, l.all(s, s != '')) && variables.singleSecrets.all(s, s != '')",
        "'names of Secrets must not be empty'",
    ),
    rule(
        "image",
        "variables.badImages.size() == 0",
        "'not an image reference such as registry.example.com/name:tag: ' + variables.badImages.join(', ')",
    ),
];

#[cfg(test)]
mod tests;

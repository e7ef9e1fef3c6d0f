//! CEL rules of the Workspace CRD: checks of one object, or of one object and its predecessor.
//!
//! They stand apart from the types because [`crate::crd`] injects them into the generated schema at the paths named here.
//! Upper bounds on strings and lists in [`crate::workspace`] keep every rule inside the API server's cost budget.

/// One rule at one place of the schema.
#[derive(Clone, Copy, Debug)]
pub struct CelRule {
    /// Path of property names from the root; `[]` steps into list items; empty is the root.
    pub path: &'static [&'static str],
    /// CEL expression over `self` (and `oldSelf` for transitions).
    pub rule: &'static str,
    /// Message for the user if it is false.
    pub message: &'static str,
}

const fn rule(path: &'static [&'static str], rule: &'static str, message: &'static str) -> CelRule {
    CelRule { path, rule, message }
}

/// Compares two presets: an absent field equals its default, so a default that is written out is no change.
macro_rules! same_preset {
    () => {
        "self.preset.name == oldSelf.preset.name \
         && (has(self.preset.accessMode) ? self.preset.accessMode : 'public') \
            == (has(oldSelf.preset.accessMode) ? oldSelf.preset.accessMode : 'public') \
         && (has(self.preset.presetOptions) && has(self.preset.presetOptions.image) \
            ? self.preset.presetOptions.image : '') \
            == (has(oldSelf.preset.presetOptions) && has(oldSelf.preset.presetOptions.image) \
            ? oldSelf.preset.presetOptions.image : '') \
         && (has(self.preset.presetOptions) && has(self.preset.presetOptions.modelAccessSecret) \
            ? self.preset.presetOptions.modelAccessSecret : '') \
            == (has(oldSelf.preset.presetOptions) && has(oldSelf.preset.presetOptions.modelAccessSecret) \
            ? oldSelf.preset.presetOptions.modelAccessSecret : '') \
         && (has(self.preset.presetOptions) && has(self.preset.presetOptions.imagePullSecrets) \
            ? self.preset.presetOptions.imagePullSecrets : []) \
            == (has(oldSelf.preset.presetOptions) && has(oldSelf.preset.presetOptions.imagePullSecrets) \
            ? oldSelf.preset.presetOptions.imagePullSecrets : [])"
    };
}

/// True if every label of one selector is one of the other, as `matchLabels` or as an expression with one value.
macro_rules! labels_within {
    ($one:literal, $other:literal) => {
        concat!(
            "(!has(", $one, ".labelSelector) || (!has(", $one, ".labelSelector.matchLabels) || ",
            $one, ".labelSelector.matchLabels.all(k, ",
            "has(", $other, ".labelSelector) && (has(", $other, ".labelSelector.matchLabels) && k in ", $other,
            ".labelSelector.matchLabels && ", $other, ".labelSelector.matchLabels[k] == ", $one,
            ".labelSelector.matchLabels[k] || has(", $other, ".labelSelector.matchExpressions) && ", $other,
            ".labelSelector.matchExpressions.exists(e, e.key == k && has(e.values) && e.values.size() == 1 && e.values[0] == ",
            $one, ".labelSelector.matchLabels[k])))) && (!has(", $one, ".labelSelector.matchExpressions) || ", $one,
            ".labelSelector.matchExpressions.all(x, has(x.values) && x.values.size() == 1 && has(", $other,
            ".labelSelector) && (has(", $other, ".labelSelector.matchLabels) && x.key in ", $other,
            ".labelSelector.matchLabels && ", $other, ".labelSelector.matchLabels[x.key] == x.values[0] || has(", $other,
            ".labelSelector.matchExpressions) && ", $other,
            ".labelSelector.matchExpressions.exists(e, e.key == x.key && has(e.values) && e.values.size() == 1 && e.values[0] == x.values[0])))))"
        )
    };
}

/// Every rule, outermost first.
pub const RULES: &[CelRule] = &[
    // A StatefulSet's pods carry a revision label: the name, a dash and ten characters. Label values end at 63.
    rule(
        &[],
        // A StatefulSet's pods carry a label of the name, a dash and ten characters; label values end at 63.
        "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be at most 52 lower-case letters, digits and dashes and start with a letter: the Service and the pods are named after it",
    ),
    rule(
        &[],
        "has(self.inference) || has(self.tuning)",
        "Either inference or tuning must be specified, not neither",
    ),
    rule(
        &[],
        "!(has(self.inference) && has(self.tuning))",
        "Either inference or tuning must be specified, but not both",
    ),
    rule(
        &[],
        "has(self.resource)",
        "resource must be specified: it says which nodes the model runs on",
    ),
    rule(
        &[],
        "has(self.inference) == has(oldSelf.inference)",
        "inference cannot be added or removed once set; delete the Workspace and create another",
    ),
    rule(
        &[],
        "has(self.tuning) == has(oldSelf.tuning)",
        "tuning cannot be added or removed once set; delete the Workspace and create another",
    ),
    rule(
        &[],
        "!has(self.tuning) || !has(self.resource) || self.resource.count <= 1",
        "resource.count must be 1 for tuning: tuning runs on one node",
    ),
    rule(
        &["resource"],
        "self.count == oldSelf.count",
        "field is immutable: resource.count",
    ),
    rule(
        &["resource"],
        // Two ways to write the same labels are equal.
        concat!(
            labels_within!("self", "oldSelf"),
            " && ",
            labels_within!("oldSelf", "self")
        ),
        "field is immutable: resource.labelSelector",
    ),
    rule(
        &["resource"],
        "!has(oldSelf.instanceType) || (has(self.instanceType) && self.instanceType == oldSelf.instanceType)",
        "field is immutable: resource.instanceType cannot be changed once set",
    ),
    rule(
        &["resource", "labelSelector"],
        "!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator == 'In' && has(e.values) && e.values.size() == 1)",
        "only matchLabels, or matchExpressions with operator In and one value, can name nodes",
    ),
    rule(
        &["inference"],
        "has(self.preset) || has(self.template)",
        "inference.preset or inference.template must be specified",
    ),
    rule(
        &["inference"],
        "!(has(self.preset) && has(self.template))",
        "inference.preset and inference.template cannot be set at the same time",
    ),
    rule(
        &["inference"],
        "has(self.preset) == has(oldSelf.preset)",
        "inference.preset cannot be set or unset later",
    ),
    rule(
        &["inference"],
        concat!("!has(self.preset) || !has(oldSelf.preset) || ", same_preset!()),
        "field is immutable: inference.preset",
    ),
    rule(
        &["inference"],
        "!has(self.adapters) || self.adapters.all(a, self.adapters.exists_one(b, has(a.source) && has(b.source) && has(a.source.name) && has(b.source.name) && a.source.name == b.source.name))",
        "every adapter needs a source with a name of its own",
    ),
    rule(
        &["inference", "adapters", "[]"],
        "!has(self.source) || (has(self.source.image) != has(self.source.volumeSource))",
        "either image or volumeSource must be specified for an adapter source",
    ),
    rule(
        &["inference", "adapters", "[]"],
        "!has(self.source) || !has(self.source.urls)",
        "urls are not supported as adapter source",
    ),
    rule(
        &["inference", "adapters", "[]"],
        "!has(self.source) || !has(self.source.name) || self.source.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "adapter source names must be lower-case letters, digits, dashes and dots: models and directories are named after them",
    ),
    rule(
        &["inference", "adapters", "[]"],
        "!has(self.strength) || self.strength.matches('^(0(\\\\.[0-9]+)?|1(\\\\.0+)?|\\\\.[0-9]+)$')",
        "adapter strength must be a decimal number from 0 to 1",
    ),
    rule(&["tuning"], "has(self.preset)", "tuning.preset must be specified"),
    rule(
        &["tuning"],
        "has(self.method) && self.method.lowerAscii() in ['lora', 'qlora']",
        "tuning.method must be lora or qlora",
    ),
    rule(
        &["tuning"],
        "[has(self.input.urls), has(self.input.volumeSource), has(self.input.image)].filter(x, x).size() == 1",
        "exactly one of urls, volumeSource or image must be specified in tuning.input",
    ),
    rule(
        &["tuning"],
        "has(self.output.volumeSource) || has(self.output.image)",
        "at least one of volumeSource or image must be specified in tuning.output",
    ),
    rule(
        &["tuning"],
        "!has(self.output.image) || has(self.output.imagePushSecret)",
        "tuning.output.imagePushSecret must be specified with an image: without it the result cannot be pushed",
    ),
    rule(
        &["tuning"],
        concat!(
            "has(self.preset) == has(oldSelf.preset) && (!has(self.preset) || ",
            same_preset!(),
            ")"
        ),
        "field is immutable: tuning.preset",
    ),
    rule(
        &["tuning"],
        "has(self.method) == has(oldSelf.method) && (!has(self.method) || self.method.lowerAscii() == oldSelf.method.lowerAscii())",
        "field is immutable: tuning.method",
    ),
    rule(
        &["tuning", "input", "urls", "[]"],
        "self.matches('(?i)^https?://[^/@?#]+([/?#]|$)')",
        "tuning.input.urls must be absolute http or https URLs without a user name",
    ),
    rule(
        &["tuning", "input", "urls", "[]"],
        "!self.matches('[\\\\x00-\\\\x1f\\\\x7f]') && self.matches('^[^:]*://([^\\\\[\\\\]:/?# ]+|\\\\[[0-9a-fA-F:.]+\\\\]|[/?#]|$)(:([0-5]?[0-9]{0,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([/?#]|$)')",
        "tuning.input.urls must have a port from 0 to 65535, if any, and no control characters",
    ),
    rule(
        &["tuning", "input", "urls", "[]"],
        "!self.matches('(?i)^https?://([^/?#:]*[.])?(localhost|metadata[.]google([.]internal)?|instance-data[.]ec2[.]internal|svc|cluster[.]local)[.]?(:|/|[?]|#|$)')",
        "tuning.input.urls must not target a local, cluster or metadata endpoint",
    ),
    rule(
        &["tuning", "input", "urls", "[]"],
        "!self.matches('(?i)^https?://([0-9]+([.][0-9]+){0,2}|[0-9x.]*0x[0-9a-fx.]*|([0-9]+[.])*0[0-9]+([.][0-9]+)*)[.]?(:|/|[?]|#|$)')",
        "tuning.input.urls must not use an oddly written address",
    ),
    rule(
        &["tuning", "input", "urls", "[]"],
        // Public IPv6 addresses are 2000::/3, without the ranges that embed IPv4 addresses and those for documents.
        "!self.matches('(?i)^https?://((0|10|127)[.][0-9]+[.][0-9]|169[.]254[.][0-9]|192[.]168[.][0-9]|172[.](1[6-9]|2[0-9]|3[01])[.][0-9]|100[.](6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])[.][0-9]|168[.]63[.]129[.]16|(22[4-9]|2[3-5][0-9])[.][0-9])') && (!self.matches('(?i)^https?://\\\\[') || self.matches('(?i)^https?://\\\\[[23][0-9a-f]{3}:[0-9a-f:]*\\\\](:|/|[?]|#|$)') && !self.matches('(?i)^https?://\\\\[(2002:|2001:(0{0,4}:|0?db8:))'))",
        "tuning.input.urls must not use a loopback, private or link-local address",
    ),
    rule(
        &["tuning", "input"],
        "has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)",
        "field is immutable: tuning.input.name",
    ),
];

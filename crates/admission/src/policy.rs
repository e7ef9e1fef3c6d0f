//! What a policy is, and its form for the API server.
//!
//! Every expression is written so that a missing field is no error; those of [`crate::SHAPE`] are refusals when they
//! fail to evaluate, those of [`crate::CATALOG`] are not.

use serde_json::{Value, json};

/// A named CEL expression that others of the policy use as `variables.NAME`. It may use those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name after `variables.`.
    pub name: &'static str,
    /// CEL over `object`, `oldObject`, `request`, `params` and `variables`.
    pub expression: &'static str,
}

/// Something that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The field it is about, as `resource.instanceType`.
    pub path: &'static str,
    /// CEL that is true when all is well.
    pub expression: &'static str,
    /// CEL that gives the sentence for the user when it is not.
    pub message: &'static str,
}

/// Rules that are evaluated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether an expression that cannot be evaluated refuses the object. A damaged catalog must stop nobody.
    pub fail_closed: bool,
    /// In the order in which they may use each other. `variables.makesNodes`, whether nodes are made for Workspaces
    /// rather than brought along, comes before them and from whoever installs the policy.
    pub variables: &'static [Variable],
    /// In the order in which they are told.
    pub rules: &'static [Rule],
}

pub(crate) const fn variable(name: &'static str, expression: &'static str) -> Variable {
    Variable { name, expression }
}

pub(crate) const fn rule(path: &'static str, expression: &'static str, message: &'static str) -> Rule {
    Rule {
        path,
        expression,
        message,
    }
}

/// When policies look at a request at all: name and CEL. What is being deleted is never held up, and neither is a write
/// that leaves everything alone that the rules are about.
pub const MATCH_CONDITIONS: [(&str, &str); 2] = [
    ("not-being-deleted", "!has(object.metadata.deletionTimestamp)"),
    (
        "something-changed",
        "oldObject == null \
         || (has(object.resource) ? object.resource : {}) != (has(oldObject.resource) ? oldObject.resource : {}) \
         || (has(object.inference) ? object.inference : {}) != (has(oldObject.inference) ? oldObject.inference : {}) \
         || (has(object.tuning) ? object.tuning : {}) != (has(oldObject.tuning) ? oldObject.tuning : {}) \
         || (has(object.metadata.annotations) ? object.metadata.annotations : {}) \
         != (has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {})",
    ),
];

/// The part of a `ValidatingAdmissionPolicy` spec that does not depend on the installation: `matchConditions`,
/// `variables` but for `makesNodes`, `validations`.
#[must_use]
pub fn spec(policy: &Policy) -> Value {
    let conditions =
        MATCH_CONDITIONS.map(|(name, expression)| json!({"name": name, "expression": expression}));
    let variables: Vec<Value> = policy
        .variables
        .iter()
        .map(|variable| json!({"name": variable.name, "expression": variable.expression}))
        .collect();
    let validations: Vec<Value> = policy
        .rules
        .iter()
        .map(|rule| {
            json!({
                "expression": rule.expression,
                "messageExpression": rule.message,
                "reason": "Invalid",
            })
        })
        .collect();
    json!({"matchConditions": conditions, "variables": variables, "validations": validations})
}

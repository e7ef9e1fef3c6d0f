//! The type of a policy and its form for the API server.
//!
//! No expression fails on a missing field. A failed evaluation rejects the object for [`crate::SHAPE`], but not for
//! [`crate::CATALOG`].

use serde_json::{Value, json};

/// A named CEL expression that later ones use as `variables.NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Name after `variables.`.
    pub name: &'static str,
    /// CEL over `object`, `oldObject`, `request`, `params` and `variables`.
    pub expression: &'static str,
    /// True for a right of the author: the expression asks the API server's `authorizer`, and its value is a bool.
    pub is_right: bool,
}

/// Annotations of the object; empty without any.
pub(crate) const ANNOTATIONS: Variable = variable(
    "annotations",
    "has(object.metadata.annotations) ? object.metadata.annotations : {}",
);

/// One requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Field of the requirement, such as `resource.instanceType`.
    pub path: &'static str,
    /// CEL expression that is true for a valid object.
    pub expression: &'static str,
    /// CEL expression that gives the message for an invalid object.
    pub message: &'static str,
}

/// A set of rules that are evaluated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Name of its files in the chart, and the end of its name in a cluster.
    pub name: &'static str,
    /// Reason of a rejection, as the API server names it: `Invalid` or `Forbidden`.
    pub reason: &'static str,
    /// Match conditions: name and CEL. A request that does not satisfy all of them is not checked.
    pub conditions: &'static [(&'static str, &'static str)],
    /// True if a failed evaluation rejects the object. A damaged catalog must not block users, so it is false there.
    pub fail_closed: bool,
    /// Variables; each may use those before it. The installer adds two before them: `makesNodes` is true if nodes are
    /// created for Workspaces, and false for existing nodes. `operatorNamespace` is the namespace of the installation.
    pub variables: &'static [Variable],
    /// Rules, in the order of their messages.
    pub rules: &'static [Rule],
}

pub(crate) const fn variable(name: &'static str, expression: &'static str) -> Variable {
    Variable {
        name,
        expression,
        is_right: false,
    }
}

/// A right of the author of a request. The API server allows two questions to its authorizer in one expression, so each
/// right is a variable of its own.
pub(crate) const fn right(name: &'static str, expression: &'static str) -> Variable {
    Variable {
        name,
        expression,
        is_right: true,
    }
}

pub(crate) const fn rule(path: &'static str, expression: &'static str, message: &'static str) -> Rule {
    Rule {
        path,
        expression,
        message,
    }
}

/// Match conditions of Workspaces. Terminating objects are never checked, nor are writes that change nothing that a rule
/// reads.
pub(crate) const WORKSPACE_CHANGES: &[(&str, &str)] = &[
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

/// Builds the parts of a `ValidatingAdmissionPolicy` spec that do not depend on the installation: `matchConditions`,
/// `variables` without those of the installer, and `validations`.
#[must_use]
pub fn spec(policy: &Policy) -> Value {
    let conditions: Vec<Value> = policy
        .conditions
        .iter()
        .map(|(name, expression)| json!({"name": name, "expression": expression}))
        .collect();
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
                "reason": policy.reason,
            })
        })
        .collect();
    json!({"matchConditions": conditions, "variables": variables, "validations": validations})
}

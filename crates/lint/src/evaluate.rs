//! Evaluates the policies of `admission` as the API server does.

use std::collections::HashMap;
use std::sync::Arc;

use admission::{Policy, Variable};
use kube_cel::KubeCelExt as _;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Program, Value as Cel};
use serde_json::Value;

use crate::error::LintError;
use crate::violation::{Origin, Violation};

/// A policy with parsed expressions.
#[derive(Debug)]
pub(crate) struct Compiled {
    origin: Origin,
    fail_closed: bool,
    conditions: Vec<Program>,
    variables: Vec<(Variable, Program)>,
    rules: Vec<CompiledRule>,
}

#[derive(Debug)]
struct CompiledRule {
    path: &'static str,
    expression: Program,
    message: Program,
}

/// Variables of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdmissionRequest<'a> {
    pub(crate) object: &'a Value,
    pub(crate) old: Option<&'a Value>,
    pub(crate) parameters: &'a Value,
    pub(crate) makes_nodes: bool,
    /// Value of every right of the author, which a file cannot tell.
    pub(crate) rights: bool,
}

impl Compiled {
    pub(crate) fn of(policy: &Policy, origin: Origin) -> Result<Self, LintError> {
        let conditions = policy
            .conditions
            .iter()
            .map(|(_, expression)| compile(expression));
        let variables = policy
            .variables
            .iter()
            .map(|variable| Ok((*variable, compile(variable.expression)?)));
        let rules = policy.rules.iter().map(|rule| {
            Ok(CompiledRule {
                path: rule.path,
                expression: compile(rule.expression)?,
                message: compile(rule.message)?,
            })
        });
        Ok(Self {
            origin,
            fail_closed: policy.fail_closed,
            conditions: conditions.collect::<Result<_, _>>()?,
            variables: variables.collect::<Result<_, LintError>>()?,
            rules: rules.collect::<Result<_, LintError>>()?,
        })
    }

    /// Returns the rules that the object violates, in the order of the policy.
    pub(crate) fn violations(&self, request: AdmissionRequest<'_>) -> Vec<Violation> {
        let mut context = Context::default().with_all();
        context.add_variable_from_value("object", cel(request.object));
        context.add_variable_from_value("oldObject", request.old.map_or(Cel::Null, cel));
        context.add_variable_from_value("params", cel(request.parameters));
        let applies = |condition: &Program| matches!(condition.execute(&context), Ok(Cel::Bool(true)));
        if !self.conditions.iter().all(applies) {
            return Vec::new();
        }
        let mut variables = HashMap::from([
            (key("makesNodes"), Cel::Bool(request.makes_nodes)),
            // A file does not say where the operator is installed, nor what the nodes are by default.
            (key("operatorNamespace"), Cel::String(Arc::default())),
            (key("defaultCapacityTypes"), Cel::String(Arc::default())),
        ]);
        for (variable, program) in &self.variables {
            if variable.is_right {
                variables.insert(key(variable.name), Cel::Bool(request.rights));
                continue;
            }
            context.add_variable_from_value("variables", map(variables.clone()));
            // A variable that fails to evaluate is an error only where it is used.
            if let Ok(value) = program.execute(&context) {
                variables.insert(key(variable.name), value);
            }
        }
        context.add_variable_from_value("variables", map(variables));
        self.rules
            .iter()
            .filter_map(|rule| self.violation(rule, &context))
            .collect()
    }

    fn violation(&self, rule: &CompiledRule, context: &Context<'_>) -> Option<Violation> {
        let message = match rule.expression.execute(context) {
            Ok(Cel::Bool(true)) => return None,
            Ok(_) => match rule.message.execute(context) {
                Ok(Cel::String(text)) => text.as_ref().clone(),
                _ => "a rule of this field is violated".to_owned(),
            },
            Err(_) if !self.fail_closed => return None,
            Err(error) => format!("failed to check: {error}"),
        };
        Some(Violation {
            origin: self.origin,
            path: rule.path.to_owned(),
            message,
            remedy: None,
        })
    }
}

fn compile(expression: &str) -> Result<Program, LintError> {
    Program::compile(expression).map_err(|error| LintError::Expression {
        expression: expression.to_owned(),
        message: error.to_string(),
    })
}

fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

fn map(entries: HashMap<Key, Cel>) -> Cel {
    Cel::Map(Map {
        map: Arc::new(entries),
    })
}

// Keys are kept unchanged, because annotations are looked up by name.
fn cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(float)) => Cel::Float(float),
            (None, None) => Cel::Null,
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(cel).collect())),
        Value::Object(fields) => map(fields
            .iter()
            .map(|(name, value)| (key(name), cel(value)))
            .collect()),
    }
}

#[cfg(test)]
mod tests {
    use admission::{AUTHOR, CAPACITY_NOTES, CATALOG, SHAPE};
    use serde_json::json;

    use super::*;

    #[test]
    fn every_expression_is_read() {
        Compiled::of(&SHAPE, Origin::ShapePolicy).unwrap();
        Compiled::of(&AUTHOR, Origin::AuthorPolicy).unwrap();
        Compiled::of(&CATALOG, Origin::CatalogPolicy).unwrap();
    }

    /// Warnings at the creation of a Workspace at 10:04, with facts of 10:00.
    fn capacity(resource: &Value, types: &str) -> Vec<String> {
        let parameters = json!({"data": {
            "region": "eastus2", "read-at": "2026-01-05T10:00:00Z",
            "instance-type.a100": "24|6|30|standardNCADSA100v4Family",
            "instance-type.h100": "40|-|30|standardNCadsH100v5Family",
            "instance-type.shut": "8|999|999|F", "restricted.shut": "QuotaId",
        }});
        let mut object = json!({
            "metadata": {"creationTimestamp": "2026-01-05T10:04:30Z", "annotations": {"kaito.sh/capacity-types": types}},
            "resource": resource, "inference": {"preset": {"name": "phi-4"}},
        });
        if resource["count"].is_number() {
            object["inference"] = json!({"template": {}});
        }
        if types.is_empty() {
            object["metadata"]["annotations"] = json!({});
        }
        let policy = Compiled::of(&CAPACITY_NOTES, Origin::NotePolicy).unwrap();
        let found = policy.violations(AdmissionRequest {
            object: &object,
            old: None,
            parameters: &parameters,
            makes_nodes: true,
            rights: false,
        });
        found.into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn a_workspace_that_the_quota_does_not_hold_is_warned_of() {
        let on = |instance_type: &str, types| capacity(&json!({"instanceType": instance_type}), types);
        let read = "(read 4 minutes ago)";
        let a100 = format!(
            "A100: 24 vCPUs of standardNCADSA100v4Family asked for each node, 6 left in eastus2 {read}"
        );
        assert_eq!(on("A100", ""), std::slice::from_ref(&a100));
        assert_eq!(on("A100", " on-demand "), [a100]);
        assert_eq!(on("A100", "spot"), Vec::<String>::new());
        assert_eq!(on("A100", "spot,on-demand"), Vec::<String>::new());
        for unknown in ["H100", "other", ""] {
            assert_eq!(on(unknown, ""), Vec::<String>::new(), "{unknown}");
        }
        assert_eq!(on("A100", "reserved"), Vec::<String>::new());
        let ladder = format!(
            "shut: the subscription may not use it in eastus2 (QuotaId); a100: 24 vCPUs of standardNCADSA100v4Family asked \
             for each node, 6 left in eastus2 {read}"
        );
        assert_eq!(on("h100, a100,shut", ""), [ladder]);
        let nodes = |count: u32, types| capacity(&json!({"instanceType": "a100", "count": count}), types);
        let spot = format!("a100: 48 spot vCPUs asked, 30 left in eastus2 {read}");
        assert_eq!(nodes(2, "spot"), [spot]);
        let both = format!(
            "a100: 48 vCPUs of standardNCADSA100v4Family asked, 6 left, and 30 for spot nodes, in eastus2 {read}"
        );
        assert_eq!(nodes(2, "on-demand,spot"), [both]);
    }
}

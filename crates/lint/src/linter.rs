//! The checks in the order of the API server.

use std::fmt;

use admission::table::{Unlisted, table};
use admission::{CATALOG, SHAPE};
use instance_types::Cloud;
use kube_cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use preset_catalog::Catalog;
use serde_json::{Value, json};

use crate::evaluate::{Compiled, Request};
use crate::violation::{Origin, Violation};
use crate::{remedy, schema};

/// Where the nodes of Workspaces come from: the chart's `nodeProvisioner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeSource {
    /// They are made, of the instance type that the Workspace names.
    #[default]
    Made,
    /// They are there already, and found by their labels.
    BroughtAlong,
}

/// The cluster that the object is meant for.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The presets that its registry serves.
    pub presets: &'a Catalog,
    /// The instance types of all clouds.
    pub instance_types: &'a instance_types::Catalog,
    /// Its cloud.
    pub cloud: Cloud,
    /// Where its nodes come from.
    pub nodes: NodeSource,
    /// Whether its registry asks a model hub for presets outside the catalog.
    pub unlisted: Unlisted,
}

/// Rules that this program cannot read; tests exclude that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LintError {
    /// The definition of Workspaces is not as it should be.
    #[error("the definition of Workspaces cannot be read: {0}")]
    Definition(String),
    /// An expression of a policy is not CEL.
    #[error("`{expression}` cannot be read: {message}")]
    Expression {
        /// The text.
        expression: String,
        /// What the parser says.
        message: String,
    },
}

/// Checks Workspaces. Making one takes longer than using it.
pub struct Linter<'a> {
    settings: Settings<'a>,
    schema: Value,
    validator: Validator,
    definition: CompiledSchema,
    policies: [Compiled; 2],
    parameters: Value,
}

impl fmt::Debug for Linter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linter")
            .field("cloud", &self.settings.cloud)
            .finish_non_exhaustive()
    }
}

impl<'a> Linter<'a> {
    /// Reads the rules.
    ///
    /// # Errors
    /// When they cannot be read, which the tests of this crate exclude.
    pub fn new(settings: Settings<'a>) -> Result<Self, LintError> {
        let schema = schema_of_workspaces()?;
        let data = table(
            settings.presets,
            settings.instance_types,
            settings.cloud,
            settings.unlisted,
        );
        Ok(Self {
            validator: Validator::new(),
            definition: compile_schema(&schema),
            schema,
            policies: [
                Compiled::of(&SHAPE, Origin::ShapePolicy)?,
                Compiled::of(&CATALOG, Origin::CatalogPolicy)?,
            ],
            parameters: json!({"data": data}),
            settings,
        })
    }

    /// Why the object could not be created; empty when it could.
    #[must_use]
    pub fn create(&self, object: &Value) -> Vec<Violation> {
        self.check(object, None)
    }

    /// Why `old`, which is stored, could not become `new`; empty when it could.
    #[must_use]
    pub fn update(&self, old: &Value, new: &Value) -> Vec<Violation> {
        self.check(new, Some(old))
    }

    fn check(&self, object: &Value, old: Option<&Value>) -> Vec<Violation> {
        let mut found = identity(object);
        found.extend(schema::violations(&self.schema, object));
        // Rules may rely on the shape.
        if !found.is_empty() {
            return found;
        }
        let object = apply_defaults(&self.schema, object);
        let old = old.map(|old| apply_defaults(&self.schema, old));
        found.extend(self.definition_violations(&object, old.as_ref()));
        for policy in &self.policies {
            found.extend(policy.violations(Request {
                object: &object,
                old: old.as_ref(),
                parameters: &self.parameters,
                makes_nodes: self.settings.nodes == NodeSource::Made,
            }));
        }
        remedy::add(&self.settings, &object, &mut found);
        found
    }

    fn definition_violations(&self, object: &Value, old: Option<&Value>) -> Vec<Violation> {
        let checked = self.validator.validate_compiled(&self.definition, object, old);
        let errors = checked.err().into_iter().flatten();
        errors
            .map(|error| Violation {
                origin: Origin::Definition,
                path: error.field_path.trim_start_matches('.').to_owned(),
                message: error.message,
                remedy: None,
            })
            .collect()
    }
}

fn schema_of_workspaces() -> Result<Value, LintError> {
    let crd = kaito_api::crd::workspace();
    let stored = crd.spec.versions.iter().find(|version| version.storage);
    let schema = stored.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let schema = schema.ok_or_else(|| LintError::Definition("no version is stored".to_owned()))?;
    serde_json::to_value(schema).map_err(|error| LintError::Definition(error.to_string()))
}

/// What the schema does not say: that it is a Workspace, and has a name.
fn identity(object: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |path: &str, message: &str| {
        found.push(Violation {
            origin: Origin::Schema,
            path: path.to_owned(),
            message: message.to_owned(),
            remedy: None,
        });
    };
    let version = object["apiVersion"].as_str().unwrap_or_default();
    if !["kaito.sh/v1alpha1", "kaito.sh/v1beta1"].contains(&version) {
        add("apiVersion", "must be kaito.sh/v1beta1 or kaito.sh/v1alpha1");
    }
    if object["kind"] != "Workspace" {
        add("kind", "must be Workspace");
    }
    if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        add("metadata.name", "must be specified");
    }
    for field in ["labels", "annotations"] {
        let entries = &object["metadata"][field];
        let strings = entries
            .as_object()
            .is_some_and(|all| all.values().all(Value::is_string));
        if !entries.is_null() && !strings {
            add(
                &format!("metadata.{field}"),
                "must map names to strings; numbers and booleans need quotes",
            );
        }
    }
    found
}

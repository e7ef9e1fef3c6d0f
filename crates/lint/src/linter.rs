//! The linter: runs the checks in the API server's order.

use std::fmt;

use admission::table::table;
use admission::{AUTHOR, CATALOG, CATALOG_NOTES, NOTES, SHAPE};
use kube_cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use serde_json::{Value, json};

use crate::error::LintError;
use crate::evaluate::{AdmissionRequest, Compiled};
use crate::settings::{NodeSource, Settings};
use crate::violation::{Origin, Violation};
use crate::{config, remedy, schema};

/// Validates Workspaces. Construction is slow; reuse one linter.
///
/// ```
/// use lint::{Linter, NodeSource, Settings};
/// use admission::table::{TableOptions, Unlisted};
/// use serde_json::json;
///
/// let linter = Linter::new(Settings {
///     presets: preset_catalog::Catalog::embedded()?,
///     instance_types: instance_types::Catalog::embedded()?,
///     nodes: NodeSource::default(),
///     options: TableOptions::new(instance_types::Cloud::Azure, Unlisted::Refused),
/// })?;
/// let workspace = json!({
///     "apiVersion": "kaito.sh/v1beta1",
///     "kind": "Workspace",
///     "metadata": {"name": "w"},
///     "resource": {
///         "instanceType": "Standard_NC24ads_A100_v4",
///         "labelSelector": {"matchLabels": {"apps": "w"}},
///     },
///     "inference": {"preset": {"name": "phi-5"}},
/// });
/// let violations = linter.create(&workspace);
/// assert_eq!(violations[0].path, "preset.name");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Linter<'a> {
    settings: Settings<'a>,
    schema: Value,
    validator: Validator,
    definition: CompiledSchema,
    policies: [Compiled; 3],
    notes: [Compiled; 2],
    parameters: Value,
}

impl fmt::Debug for Linter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linter")
            .field("options", &self.settings.options)
            .finish_non_exhaustive()
    }
}

impl<'a> Linter<'a> {
    /// Parses the rules.
    ///
    /// # Errors
    /// Fails if a rule cannot be parsed, which the tests of this crate exclude.
    pub fn new(settings: Settings<'a>) -> Result<Self, LintError> {
        let schema = schema_of_workspaces()?;
        let data = table(settings.presets, settings.instance_types, &settings.options);
        Ok(Self {
            validator: Validator::new(),
            definition: compile_schema(&schema),
            schema,
            policies: [
                Compiled::of(&SHAPE, Origin::ShapePolicy)?,
                Compiled::of(&AUTHOR, Origin::AuthorPolicy)?,
                Compiled::of(&CATALOG, Origin::CatalogPolicy)?,
            ],
            notes: [
                Compiled::of(&NOTES, Origin::NotePolicy)?,
                Compiled::of(&CATALOG_NOTES, Origin::NotePolicy)?,
            ],
            parameters: json!({"data": data}),
            settings,
        })
    }

    /// Returns the violations on creation; empty for a valid object.
    #[must_use]
    pub fn create(&self, object: &Value) -> Vec<Violation> {
        self.check(object, None)
    }

    /// Returns the violations of an update from the stored `old` to `new`; empty for a valid update.
    #[must_use]
    pub fn update(&self, old: &Value, new: &Value) -> Vec<Violation> {
        self.check(new, Some(old))
    }

    fn check(&self, object: &Value, old: Option<&Value>) -> Vec<Violation> {
        let mut found = identity(object);
        found.extend(schema::violations(&self.schema, object));
        // Rules assume that the object satisfies the schema.
        if !found.is_empty() {
            return found;
        }
        let object = apply_defaults(&self.schema, object);
        let old = old.map(|old| apply_defaults(&self.schema, old));
        found.extend(self.definition_violations(&object, old.as_ref()));
        for policy in &self.policies {
            found.extend(policy.violations(self.request(&object, old.as_ref(), true)));
        }
        remedy::add(&self.settings, &object, &mut found);
        found
    }

    /// Returns warnings about the creation of a valid object; empty for an invalid one.
    ///
    /// They name settings without effect, and the rights that the author needs: a file does not tell who will apply it.
    #[must_use]
    pub fn warnings(&self, object: &Value) -> Vec<Violation> {
        if !self.create(object).is_empty() {
            return Vec::new();
        }
        let object = apply_defaults(&self.schema, object);
        let request = self.request(&object, None, false);
        self.policies
            .iter()
            .chain(&self.notes)
            .flat_map(|policy| policy.violations(request))
            .collect()
    }

    /// Returns the problem of the ConfigMap that a Workspace names.
    #[must_use]
    pub fn config_map(&self, workspace: &Value, config_map: &Value) -> Option<Violation> {
        config::violation(self.settings.presets, workspace, config_map)
    }

    fn request<'b>(
        &'b self,
        object: &'b Value,
        old: Option<&'b Value>,
        rights: bool,
    ) -> AdmissionRequest<'b> {
        AdmissionRequest {
            object,
            old,
            parameters: &self.parameters,
            makes_nodes: self.settings.nodes == NodeSource::Provisioned,
            rights,
        }
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

/// Checks that the schema does not contain: API version, kind and name.
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

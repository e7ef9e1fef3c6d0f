//! Changes to the Machine's own annotations and finalizers, gathered into one patch with optimistic lock.

use kaito_api::Machine;
use kaito_api::labels::TERMINATION_FINALIZER;
use kube::ResourceExt as _;
use plan::{Kind, MergePatch, ObjectRef, Write};
use serde_json::{Map, Value, json};

/// Annotations to set (`Some`) or to take away (`None`), and the finalizers where they change.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MachineEdit {
    annotations: Map<String, Value>,
    finalizers: Option<Vec<String>>,
}

impl MachineEdit {
    pub(crate) fn set(&mut self, machine: &Machine, key: &str, value: Option<String>) {
        if machine.annotations().get(key) != value.as_ref() {
            self.annotations
                .insert(key.to_owned(), value.map_or(Value::Null, Value::String));
        }
    }

    /// Stores our finalizer in the same write.
    pub(crate) fn protect(&mut self, machine: &Machine) {
        let mut all = machine.finalizers().to_vec();
        if !all.iter().any(|held| held == TERMINATION_FINALIZER) {
            all.push(TERMINATION_FINALIZER.to_owned());
            self.finalizers = Some(all);
        }
    }

    /// The patch, when it changes something.
    pub(crate) fn into_write(self, machine: &Machine) -> Option<Write> {
        let mut metadata = Map::new();
        if !self.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), Value::Object(self.annotations));
        }
        if let Some(finalizers) = self.finalizers {
            metadata.insert("finalizers".to_owned(), json!(finalizers));
        }
        (!metadata.is_empty()).then(|| {
            Write::Patch(MergePatch {
                target: target(machine),
                resource_version: machine.resource_version().unwrap_or_default(),
                body: json!({"metadata": metadata}),
            })
        })
    }
}

/// Names the Machine.
pub(crate) fn target(machine: &Machine) -> ObjectRef {
    ObjectRef {
        kind: Kind::Machine,
        namespace: None,
        name: machine.name_any(),
    }
}

//! Changes to the Machine's own annotations, gathered into one patch with optimistic lock.

use kaito_api::Machine;
use kube::ResourceExt as _;
use plan::{Kind, MergePatch, ObjectRef, Write};
use serde_json::{Map, Value, json};

/// Annotations to set (`Some`) or to take away (`None`).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MachineEdit(Map<String, Value>);

impl MachineEdit {
    pub(crate) fn set(&mut self, machine: &Machine, key: &str, value: Option<String>) {
        if machine.annotations().get(key) != value.as_ref() {
            self.0
                .insert(key.to_owned(), value.map_or(Value::Null, Value::String));
        }
    }

    /// The patch, when it changes something.
    pub(crate) fn into_write(self, machine: &Machine) -> Option<Write> {
        (!self.0.is_empty()).then(|| {
            Write::Patch(MergePatch {
                target: target(machine),
                resource_version: machine.resource_version().unwrap_or_default(),
                body: json!({"metadata": {"annotations": self.0}}),
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

//! Changes to the claim's own annotations, labels and finalizers, gathered into one patch with an optimistic lock.

use kaito_api::Claim;
use kaito_api::labels::TERMINATION_FINALIZER;
use kube::ResourceExt as _;
use plan::{Delete, MergePatch, ObjectRef, Propagation, Write};
use serde_json::{Map, Value, json};

/// Annotations and labels to set or, if null, to remove, and the finalizers if they change.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ClaimEdit {
    annotations: Map<String, Value>,
    labels: Map<String, Value>,
    finalizers: Option<Vec<String>>,
}

impl ClaimEdit {
    /// Sets an annotation, or removes it with `None`, unless it is so already.
    pub(crate) fn set(&mut self, claim: &Claim, key: &str, value: Option<String>) {
        if claim.annotations().get(key) != value.as_ref() {
            self.annotations
                .insert(key.to_owned(), value.map_or(Value::Null, Value::String));
        }
    }

    /// Sets a label, or removes it with `None`, unless it is so already.
    pub(crate) fn set_label(&mut self, claim: &Claim, key: &str, value: Option<String>) {
        if claim.labels().get(key) != value.as_ref() {
            self.labels
                .insert(key.to_owned(), value.map_or(Value::Null, Value::String));
        }
    }

    /// Adds our finalizer, if it is missing, to the same write.
    pub(crate) fn protect(&mut self, claim: &Claim) {
        let mut all = claim.finalizers().to_vec();
        if !all.iter().any(|held| held == TERMINATION_FINALIZER) {
            all.push(TERMINATION_FINALIZER.to_owned());
            self.finalizers = Some(all);
        }
    }

    /// Returns the patch, if it changes something.
    pub(crate) fn into_write(self, claim: &Claim) -> Option<Write> {
        let mut metadata = Map::new();
        if !self.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), Value::Object(self.annotations));
        }
        if !self.labels.is_empty() {
            metadata.insert("labels".to_owned(), Value::Object(self.labels));
        }
        if let Some(finalizers) = self.finalizers {
            metadata.insert("finalizers".to_owned(), json!(finalizers));
        }
        (!metadata.is_empty()).then(|| {
            Write::Patch(MergePatch {
                target: target(claim),
                resource_version: claim.resource_version().unwrap_or_default(),
                body: json!({"metadata": metadata}),
            })
        })
    }
}

/// Returns a reference to the claim.
pub(crate) fn target(claim: &Claim) -> ObjectRef {
    ObjectRef {
        kind: claim.claim_kind().into(),
        namespace: None,
        name: claim.name_any(),
    }
}

/// Returns the deletion of the claim as it was observed. A later leader may keep it: the cloud took the Node, the Node
/// recovered, or many were lost at once.
pub(crate) fn delete(claim: &Claim) -> Write {
    Write::Delete(Delete {
        target: target(claim),
        uid: claim.uid().to_owned(),
        resource_version: claim.metadata().resource_version.clone(),
        propagation: Propagation::Background,
        grace_seconds: None,
    })
}

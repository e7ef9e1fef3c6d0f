//! Changes to one Node, gathered into one patch with an optimistic lock. A change that the Node already has is dropped, so
//! a steady Node is never written.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kaito_api::Claim;
use kaito_api::labels::TERMINATION_FINALIZER;
use kube::ResourceExt as _;
use plan::{Delete, Kind, MergePatch, ObjectRef, Propagation, Write};
use serde_json::{Map, Value, json};

use crate::node::facts;

/// One Node with the changes that it is to get.
pub(crate) struct NodeEdit<'a> {
    node: &'a Node,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    finalizers: Vec<String>,
    owners: Vec<OwnerReference>,
    taints: Vec<Taint>,
}

impl<'a> NodeEdit<'a> {
    pub(crate) fn new(node: &'a Node) -> Self {
        Self {
            node,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            finalizers: node.finalizers().to_vec(),
            owners: node.owner_references().to_vec(),
            taints: facts::taints(node).to_vec(),
        }
    }

    pub(crate) fn node(&self) -> &'a Node {
        self.node
    }

    pub(crate) fn label(&mut self, key: &str, value: &str) {
        if self.node.labels().get(key).is_none_or(|old| old != value) {
            self.labels.insert(key.to_owned(), value.to_owned());
        }
    }

    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        if self.node.annotations().get(key).is_none_or(|old| old != value) {
            self.annotations.insert(key.to_owned(), value.to_owned());
        }
    }

    pub(crate) fn protect(&mut self) {
        if !self.finalizers.iter().any(|f| f == TERMINATION_FINALIZER) {
            self.finalizers.push(TERMINATION_FINALIZER.to_owned());
        }
    }

    pub(crate) fn unprotect(&mut self) {
        self.finalizers.retain(|f| f != TERMINATION_FINALIZER);
    }

    pub(crate) fn disown(&mut self, claim: &Claim) {
        self.owners
            .retain(|owner| claim.metadata().uid.as_deref() != Some(&owner.uid));
    }

    pub(crate) fn own(&mut self, claim: &Claim) {
        let uid = claim.metadata().uid.clone().unwrap_or_default();
        if self.owners.iter().any(|owner| owner.uid == uid) {
            return;
        }
        self.owners.push(OwnerReference {
            api_version: claim.claim_kind().api_version().to_owned(),
            kind: claim.claim_kind().as_str().to_owned(),
            name: claim.name_any(),
            uid,
            block_owner_deletion: Some(true),
            controller: None,
        });
    }

    /// Adds a taint, unless one with its key and effect exists with any value.
    pub(crate) fn taint(&mut self, taint: &Taint) {
        if !self
            .taints
            .iter()
            .any(|t| t.key == taint.key && t.effect == taint.effect)
        {
            self.taints.push(taint.clone());
        }
    }

    pub(crate) fn untaint(&mut self, key: &str) {
        self.taints.retain(|taint| taint.key != key);
    }

    /// Returns the taints as they will be.
    pub(crate) fn taints(&self) -> &[Taint] {
        &self.taints
    }

    /// Returns the patch, if it changes something. Lists are whole lists.
    pub(crate) fn into_write(self) -> Option<Write> {
        let mut metadata = Map::new();
        let mut put = |key: &str, changed: bool, value: Value| {
            if changed {
                metadata.insert(key.to_owned(), value);
            }
        };
        put("labels", !self.labels.is_empty(), json!(self.labels));
        put(
            "annotations",
            !self.annotations.is_empty(),
            json!(self.annotations),
        );
        put(
            "finalizers",
            self.finalizers != self.node.finalizers(),
            json!(self.finalizers),
        );
        put(
            "ownerReferences",
            self.owners != self.node.owner_references(),
            json!(self.owners),
        );
        let mut body = Map::new();
        if !metadata.is_empty() {
            body.insert("metadata".to_owned(), Value::Object(metadata));
        }
        if self.taints != facts::taints(self.node) {
            body.insert("spec".to_owned(), json!({"taints": self.taints}));
        }
        (!body.is_empty()).then(|| {
            Write::Patch(MergePatch {
                target: target(self.node),
                resource_version: self.node.resource_version().unwrap_or_default(),
                body: Value::Object(body),
            })
        })
    }
}

/// Removes a Node whose instance is gone: takes our finalizer away first, so that the deletion completes.
pub(crate) fn remove(node: &Node) -> Vec<Write> {
    let mut writes = Vec::new();
    if facts::has_finalizer(node) {
        let mut edit = NodeEdit::new(node);
        edit.unprotect();
        writes.extend(edit.into_write());
    }
    if node.metadata.deletion_timestamp.is_none() {
        writes.push(Write::Delete(Delete {
            target: target(node),
            uid: node.uid().unwrap_or_default(),
            resource_version: None,
            propagation: Propagation::Background,
            grace_seconds: None,
        }));
    }
    writes
}

/// Releases a Node that is not ours after all, and leaves it running. The claim is taken from its owners; otherwise the
/// garbage collector of Kubernetes would delete the Node together with the claim.
pub(crate) fn release_ownership(node: &Node, claim: &Claim) -> Option<Write> {
    let mut edit = NodeEdit::new(node);
    edit.unprotect();
    edit.disown(claim);
    edit.into_write()
}

fn target(node: &Node) -> ObjectRef {
    ObjectRef {
        kind: Kind::Node,
        namespace: None,
        name: node.name_any(),
    }
}

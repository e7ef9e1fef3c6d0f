//! The writes that a plan can contain.

use serde_json::Value;

use crate::Verb;
use crate::manifest::{Kind, Manifest, ObjectRef};

/// One write to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Server-side apply under the program's own field manager, with force. A manifest with a UID changes that object
    /// only; one without creates the object, or changes one that was created meanwhile.
    Apply(Box<Manifest>),
    /// Deletes one object; its absence is success.
    Delete(Delete),
    /// Merge patch that fails if the object has changed since it was observed.
    Patch(MergePatch),
    /// Requests the eviction of a pod; a disruption budget may refuse.
    Evict(Evict),
}

impl Write {
    /// Returns the way of writing.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Apply(_) => Verb::Apply,
            Self::Delete(_) => Verb::Delete,
            Self::Patch(_) => Verb::Patch,
            Self::Evict(_) => Verb::Evict,
        }
    }

    /// Returns the object that is written.
    #[must_use]
    pub fn target(&self) -> ObjectRef {
        match self {
            Self::Apply(manifest) => manifest.target(),
            Self::Delete(delete) => delete.target.clone(),
            Self::Patch(patch) => patch.target.clone(),
            Self::Evict(evict) => ObjectRef {
                kind: Kind::Pod,
                namespace: Some(evict.namespace.clone()),
                name: evict.name.clone(),
            },
        }
    }
}

/// Deletion of exactly the object that was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Object to delete.
    pub target: ObjectRef,
    /// UID of the object that is meant; another object of the name stays.
    pub uid: String,
    /// Version that was observed; the object stays if it has changed since. `None` if the decision is final, as it is once
    /// the Workspace is being deleted. Otherwise a delayed request could delete what a later leader keeps.
    pub resource_version: Option<String>,
    /// Treatment of dependents.
    pub propagation: Propagation,
    /// Grace period in seconds; `None` means the object's own.
    pub grace_seconds: Option<u32>,
}

/// Treatment of the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after the object.
    Background,
    /// They are deleted before the object.
    Foreground,
}

/// A JSON merge patch with an optimistic lock.
#[derive(Clone, Debug, PartialEq)]
pub struct MergePatch {
    /// Object to patch.
    pub target: ObjectRef,
    /// Observed version, because a list in the body replaces the whole list.
    pub resource_version: String,
    /// Patch, without `metadata.resourceVersion`.
    pub body: Value,
}

/// Eviction of exactly the pod that was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evict {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID of the pod that is meant.
    pub uid: String,
}

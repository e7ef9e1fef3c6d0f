//! The writes a plan can hold.

use serde_json::Value;

use crate::manifest::{Manifest, ObjectRef};

/// One write to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Server-side apply under the program's own field manager, with force.
    Apply(Box<Manifest>),
    /// Delete one object; its absence is success.
    Delete(Delete),
    /// Merge patch that fails when the object has changed since it was observed.
    Patch(MergePatch),
    /// Ask for a pod to be evicted; a disruption budget may refuse.
    Evict(Evict),
}

/// Deletion of exactly the object that was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// What to delete.
    pub target: ObjectRef,
    /// UID of the object that is meant; another object of the name is left alone.
    pub uid: String,
    /// What happens to dependents.
    pub propagation: Propagation,
    /// Grace period in seconds; `None` uses the object's own.
    pub grace_seconds: Option<u32>,
}

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// A JSON merge patch with optimistic lock.
#[derive(Clone, Debug, PartialEq)]
pub struct MergePatch {
    /// What to patch.
    pub target: ObjectRef,
    /// The version that was observed; lists in the body are whole lists.
    pub resource_version: String,
    /// The patch, without `metadata.resourceVersion`.
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

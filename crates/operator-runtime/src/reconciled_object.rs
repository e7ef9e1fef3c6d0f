//! The object that a reconcile is about.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::ObjectRef;

/// Kind, name and observed metadata of the reconciled object.
#[derive(Clone, Debug)]
pub(crate) struct ReconciledObject<'a> {
    /// Kind and name.
    pub(crate) target: ObjectRef,
    /// Metadata as observed.
    pub(crate) meta: &'a ObjectMeta,
    /// Failed reconciles in a row before this one.
    pub(crate) failures: u32,
}

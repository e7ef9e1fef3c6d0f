//! Tags that mark an instance as ours. Every adapter writes them, and reads ownership from them.

use std::collections::BTreeMap;

/// Tag that marks an instance as made by this project; the value is `gpu-provisioner`.
pub const MANAGED_BY: &str = "kaito-managed-by";
/// Value of [`MANAGED_BY`].
pub(crate) const MANAGED_BY_VALUE: &str = "gpu-provisioner";
/// Tag with the UID of the claim that the instance was made for.
pub(crate) const CLAIM_UID: &str = "kaito-claim-uid";
/// Tag with the id of the Kubernetes cluster that the instance was made from, where one is configured.
pub const CLUSTER: &str = "kaito-cluster";

/// The mark of a claim's instance. An empty cluster id is left out.
#[must_use]
pub fn of_claim(claim_uid: &str, cluster_id: &str) -> BTreeMap<String, String> {
    let cluster = Some((CLUSTER, cluster_id)).filter(|(_, id)| !id.is_empty());
    [(MANAGED_BY, MANAGED_BY_VALUE), (CLAIM_UID, claim_uid)]
        .into_iter()
        .chain(cluster)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The id of the cluster that an instance was made from.
#[must_use]
pub fn cluster_id(all: &BTreeMap<String, String>) -> Option<String> {
    all.get(CLUSTER).cloned()
}

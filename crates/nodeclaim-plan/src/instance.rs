//! The instance of a claim as that claim sees it. The only place that decides whose an instance is: one that is not
//! owned is neither changed nor deleted.

use cloudprovider::{Instance, InstanceLookup, Ownership};
use kaito_api::Claim;
use kaito_api::labels::{RAG_ENGINE, RAG_ENGINE_NAMESPACE, WORKSPACE, WORKSPACE_NAMESPACE};

use crate::settings::Settings;

/// The instance of the claim's name, classified for the claim.
#[derive(Clone, Copy)]
pub(crate) enum InstanceView<'a> {
    /// Not known, which never means absent.
    Unknown,
    /// Absent in this many live reads.
    Absent(u32),
    /// Present, and made for this claim.
    Owned(&'a Instance),
    /// Present, and made for another claim or by another program.
    Foreign(&'a Instance),
}

impl<'a> InstanceView<'a> {
    /// Classifies the instance for this claim.
    pub(crate) fn new(lookup: &'a InstanceLookup, claim: &Claim, settings: &Settings) -> Self {
        match lookup {
            InstanceLookup::Unknown | InstanceLookup::Absent { reads: 0 } => Self::Unknown,
            InstanceLookup::Absent { reads } => Self::Absent(*reads),
            InstanceLookup::Found(instance) if is_owned(instance, claim, settings) => Self::Owned(instance),
            InstanceLookup::Found(instance) => Self::Foreign(instance),
        }
    }
}

fn is_owned(instance: &Instance, claim: &Claim, settings: &Settings) -> bool {
    if instance.name != claim.name() {
        return false;
    }
    match &instance.owner {
        Ownership::Foreign => false,
        Ownership::Upstream => has_same_owner(instance, claim),
        Ownership::Ours { claim_uid } => {
            let uid = claim.uid();
            !uid.is_empty() && uid == claim_uid.as_str() && may_be_of_cluster(instance, settings)
        }
    }
}

// The UID already distinguishes clusters, so an instance made before the id was configured stays ours.
fn may_be_of_cluster(instance: &Instance, settings: &Settings) -> bool {
    settings.cluster_id.is_empty()
        || instance
            .cluster_id
            .as_deref()
            .is_none_or(|id| id == settings.cluster_id)
}

/// Reports whether an instance that upstream made has the claim's Workspace as its own. It carries no UID.
fn has_same_owner(instance: &Instance, claim: &Claim) -> bool {
    let theirs = &instance.labels;
    let own = claim.metadata().labels.as_ref();
    let own = |key: &str| own.and_then(|labels| labels.get(key));
    let agrees = |key: &str| match (theirs.get(key), own(key)) {
        (Some(theirs), Some(own)) => theirs == own,
        _ => true,
    };
    let shared = |key: &str| theirs.get(key).is_some_and(|value| own(key) == Some(value));
    (shared(WORKSPACE) || shared(RAG_ENGINE))
        && [WORKSPACE, RAG_ENGINE, WORKSPACE_NAMESPACE, RAG_ENGINE_NAMESPACE]
            .into_iter()
            .all(agrees)
}

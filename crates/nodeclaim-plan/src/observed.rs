//! Everything that a decision about one claim may look at. Absence and failure are data.

use std::sync::Arc;

use cloudprovider::{CallOutcome, Deferral, FullCluster, InstanceLookup, ProviderError, RefusedOfferings};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::{Claim, KaitoNodeClass};

use crate::repair::answer::RepairAnswer;

/// One claim and what belongs to it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The claim.
    pub claim: Claim,
    /// The instance of the claim's name, by reads that started after the claim was first seen.
    ///
    /// After a Create of unknown outcome the earlier reads do not count; [`cloudprovider::InstanceTracker`] ensures that.
    pub instance: InstanceLookup,
    /// Nodes whose labels name the instance, and Nodes with the claim's provider id; each once, in any order.
    pub nodes: Vec<Arc<Node>>,
    /// Pods bound to those Nodes, in any order. Empty unless the claim or one of the Nodes is being deleted.
    pub pods: Vec<Arc<Pod>>,
    /// Volume attachments of those Nodes, in any order. Empty under the same terms.
    pub attachments: Vec<Arc<VolumeAttachment>>,
    /// The last Create, Delete or Abort of the instance with its outcome; `None` after a restart. Reads do not count.
    pub last_call: Option<CallOutcome>,
    /// The last request, if a limit of our own kept it back.
    pub deferral: Option<Deferral>,
    /// Start of the newest read that showed the instance.
    pub read_at: Option<Timestamp>,
    /// Start of the first read of this process that showed the instance in its present state.
    pub state_since: Option<Timestamp>,
    /// Error of the instance, if the failed operation was read.
    ///
    /// An answer without a reason counts too, or it would be asked for again and again. An accepted Create clears it.
    pub failure: Option<ProviderError>,
    /// The cluster is full, as the request of another claim showed.
    pub full: Option<FullCluster>,
    /// The claim's node class, if that has an object.
    pub class: Option<Arc<KaitoNodeClass>>,
    /// Classes of a similar name, best first, if the class that the claim names does not exist.
    pub near_classes: Vec<String>,
    /// Offerings of the claim's instance type that the cloud refused, whichever claim asked.
    pub refused: RefusedOfferings,
    /// The Node was deleted, and so many others were that the claim is deleted only after this time.
    pub deletion_held_until: Option<Timestamp>,
    /// The Node is unhealthy for so long that it is to be replaced: the answer to that.
    pub repair: RepairAnswer,
    /// No instance is launched, because the settings contradict another claim's instance. See [`crate::cluster`].
    pub launches_held: bool,
    /// A claim of the other kind has the same name and was created first, so the instance of that name is its own. See
    /// [`crate::managed::has_name_conflict`].
    pub has_name_conflict: bool,
}

/// One Node that carries our finalizer, and what decides whether it is orphaned.
#[derive(Clone, Debug)]
pub struct ObservedNode {
    /// The Node.
    pub node: Arc<Node>,
    /// The Node's claim exists: it has the name that the Node's labels give, and is the owner that the Node names.
    pub claim_exists: bool,
    /// The instance of that name, by all reads.
    pub instance: InstanceLookup,
}

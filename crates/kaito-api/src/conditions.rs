//! Condition types, the closed set of reasons, and how a condition list is updated.
//!
//! Every reason has a remedy ([`WorkspaceReason::remedy`], [`ClaimReason::remedy`]), so
//! a status message can always name the cause and the remedy.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub use crate::claim::ClaimConditionType;
use crate::machine_status::MachineCondition;
use crate::node_claim_status::NodeClaimCondition;
pub use crate::refusal_reason::RefusalReason;
use crate::text::cut;
pub use crate::workspace_reason::WorkspaceReason;

/// The conditions of a Workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkspaceConditionType {
    /// Enough Machines are ready; absent without Machines.
    MachineReady,
    /// Enough NodeClaims are ready; absent without NodeClaims.
    NodeClaimReady,
    /// Enough nodes are ready and offer their GPUs.
    NodesReady,
    /// The workload has everything it needs to run.
    ResourceReady,
    /// The model is served.
    InferenceReady,
    /// The tuning Job has started.
    JobStarted,
    /// The Workspace serves, or its tuning succeeded; the name of `v1alpha1`.
    WorkspaceReady,
    /// The same; the name of `v1beta1`.
    WorkspaceSucceeded,
    /// The Workspace is being deleted.
    WorkspaceDeleting,
}

impl WorkspaceConditionType {
    /// Value of `type` in the object.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MachineReady => "MachineReady",
            Self::NodeClaimReady => "NodeClaimReady",
            Self::NodesReady => "NodesReady",
            Self::ResourceReady => "ResourceReady",
            Self::InferenceReady => "InferenceReady",
            Self::JobStarted => "JobStarted",
            Self::WorkspaceReady => "WorkspaceReady",
            Self::WorkspaceSucceeded => "WorkspaceSucceeded",
            Self::WorkspaceDeleting => "WorkspaceDeleting",
        }
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// The state is not known yet.
    Unknown,
}

impl Status {
    /// Value in the object.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// Parses a status; any other word is `Unknown`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// Longest message we write: upstream KAITO cuts at 256 bytes, we leave room for the remedy.
pub const MESSAGE_MAX: usize = 1000;

/// The new content of a condition, whose transition time depends on the previous one.
#[derive(Clone, Copy, Debug)]
pub struct NewCondition<'a> {
    /// Type of the condition.
    pub type_: &'a str,
    /// Status of the condition.
    pub status: Status,
    /// Reason, as one word; empty for none.
    pub reason: &'a str,
    /// Message for people; it is shortened.
    pub message: &'a str,
}

impl NewCondition<'_> {
    /// Returns a Workspace condition. Its transition time is `now` unless `previous` already has this status.
    #[must_use]
    pub fn of_workspace(self, previous: &[Condition], generation: i64, now: Timestamp) -> Condition {
        let before = previous
            .iter()
            .find(|c| c.type_ == self.type_ && c.status == self.status.as_str());
        Condition {
            type_: self.type_.to_owned(),
            status: self.status.as_str().to_owned(),
            reason: self.reason.to_owned(),
            message: cut(self.message, MESSAGE_MAX),
            observed_generation: Some(generation),
            last_transition_time: before.map_or(Time(whole_seconds(now)), |c| c.last_transition_time.clone()),
        }
    }

    /// Returns a Machine condition. Its transition time is `now` unless `previous` already has this status.
    #[must_use]
    pub fn of_machine(self, previous: &[MachineCondition], now: Timestamp) -> MachineCondition {
        let before = previous
            .iter()
            .find(|c| c.type_ == self.type_ && c.status == self.status.as_str());
        MachineCondition {
            type_: self.type_.to_owned(),
            status: self.status.as_str().to_owned(),
            severity: String::new(),
            reason: self.reason.to_owned(),
            message: cut(self.message, MESSAGE_MAX),
            last_transition_time: before.map_or_else(
                || whole_seconds(now).to_string(),
                |c| c.last_transition_time.clone(),
            ),
        }
    }

    /// Returns a NodeClaim condition. Its transition time is `now` unless `previous` already has this status.
    ///
    /// A new `Unknown` condition has existed since the NodeClaim was created.
    #[must_use]
    pub fn of_node_claim(
        self,
        previous: &[NodeClaimCondition],
        generation: i64,
        created: Timestamp,
        now: Timestamp,
    ) -> NodeClaimCondition {
        let before = previous.iter().find(|c| c.type_ == self.type_);
        let since = match before {
            Some(before) if before.status == self.status.as_str() => before.last_transition_time.0,
            None if self.status == Status::Unknown => whole_seconds(created),
            _ => whole_seconds(now),
        };
        NodeClaimCondition {
            type_: self.type_.to_owned(),
            status: self.status.as_str().to_owned(),
            reason: self.reason.to_owned(),
            message: cut(self.message, MESSAGE_MAX),
            last_transition_time: Time(since),
            observed_generation: Some(generation),
        }
    }
}

/// Rounds a time down to whole seconds. The API server stores no fractions, so a finer time would always look changed.
#[must_use]
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $(#[doc = $doc:literal] $variant:ident = $text:literal => $remedy:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(#[doc = $doc] $variant,)+ }

        impl $name {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Value in the object.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Remedy; empty if nothing needs to be done.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }

            /// Returns the sentence that says when the reason appears.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)+ }.trim_ascii()
            }

            /// Parses a reason.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|r| r.as_str() == text)
            }
        }
    };
}
pub(crate) use reasons;

/// Text about one reason of any of the closed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonText {
    /// Value in the object.
    pub reason: &'static str,
    /// Sentence that says when the reason appears.
    pub meaning: &'static str,
    /// Remedy; empty if nothing needs to be done.
    pub remedy: &'static str,
}

macro_rules! texts {
    ($set:ident) => {
        $set::ALL.iter().map(|reason| ReasonText {
            reason: reason.as_str(),
            meaning: reason.meaning(),
            remedy: reason.remedy(),
        })
    };
}

impl ReasonText {
    /// Returns the reasons of conditions of Workspaces.
    pub fn of_workspaces() -> impl Iterator<Item = Self> {
        texts!(WorkspaceReason)
    }

    /// Returns the reasons for writes and pods that the API server refused.
    pub fn of_refusals() -> impl Iterator<Item = Self> {
        texts!(RefusalReason)
    }

    /// Returns the reasons of conditions of claims.
    pub fn of_claims() -> impl Iterator<Item = Self> {
        texts!(ClaimReason)
    }

    /// Finds a reason in any of the closed sets.
    #[must_use]
    pub fn find(reason: &str) -> Option<Self> {
        Self::of_workspaces()
            .chain(Self::of_refusals())
            .chain(Self::of_claims())
            .find(|text| text.reason == reason)
    }
}

reasons! {
    /// Reason of a claim's condition.
    ClaimReason {
        /// The step is done.
        Done = "Done" => "",
        /// The claim was not reconciled yet.
        AwaitingReconciliation = "AwaitingReconciliation" => "",
        /// The state of the cloud is not known yet.
        AwaitingCloud = "AwaitingCloud" => "",
        /// The instance is being created.
        InstanceCreating = "InstanceCreating" => "",
        /// Another operation holds the cluster; the request is repeated.
        WaitingForCluster = "WaitingForCluster" => "",
        /// Too many requests; the request is repeated later.
        Throttled = "Throttled" => "Nothing to do: the request is repeated when the cloud allows it.",
        /// The instance type is not available here.
        SkuNotAvailable = "SKUNotAvailable" => "Choose another instance type, another region, or ask the cloud to lift the restriction.",
        /// The subscription's quota is used up.
        SubscriptionQuotaReached = "SubscriptionQuotaReached" => "Ask for more quota of this family in this region, or delete what uses it.",
        /// The cloud has no capacity for this instance type now.
        AllocationFailure = "AllocationFailure" => "Nothing to do: it is tried again. Another instance type or region may have capacity.",
        /// Two instances of the offering in a row ran without a Node.
        NodeNeverJoined = "NodeNeverJoined" => "Look at the boot log of an instance in the cloud: network, API server address, bootstrap token, image. Another offering or instance type is tried if one is allowed, otherwise this one again.",
        /// The cluster's network has no free address for another node.
        NoAddresses = "NoAddresses" => "Enlarge the subnet or the pod network that the message names, or delete nodes; it is tried again.",
        /// The cluster has as many instances as it may have.
        ClusterFull = "ClusterFull" => "Delete instances that are not needed: a cluster has a largest number of them. The claim is launched when there is room.",
        /// The cluster has as many instances as it may have, as another claim found out.
        WaitingForRoom = "WaitingForRoom" => "Delete instances that are not needed: a cluster has a largest number of them. The claim is launched when there is room.",
        /// The cluster is stopped in the cloud.
        ClusterStopped = "ClusterStopped" => "Start the cluster in the cloud; then the request is repeated.",
        /// A policy of the cloud denies the request.
        PolicyDenied = "PolicyDenied" => "Ask the owner of the policy named in the message for an exemption of this cluster, or change the policy.",
        /// An administrator of the cloud has to act first.
        CloudBlocked = "CloudBlocked" => "Do what the message says: remove the lock, enable the subscription, register the resource provider or upgrade the cluster. It is tried again.",
        /// The instance was stopped in the cloud.
        InstanceStopped = "InstanceStopped" => "Start the instance, or the whole cluster, in the cloud. Nothing is replaced or deleted while it is stopped.",
        /// The instance is deleted too slowly, or the cloud fails to delete it.
        InstanceNotDeleted = "InstanceNotDeleted" => "Look up the reason in the cloud's activity log and delete the instance there if it lasts: it is billed until it is gone.",
        /// The instance was launched under another cluster id or in another cluster.
        ClusterIdChanged = "ClusterIdChanged" => "Restore the provisioner's cluster id, subscription, resource group and cluster name: until then this claim is neither launched, changed nor released.",
        /// The cloud rejects our identity.
        AuthorizationFailed = "AuthorizationFailed" => "Give the provisioner's identity the Contributor role on the managed cluster and check its federated credential.",
        /// The managed cluster named in the configuration does not exist.
        ClusterNotFound = "ClusterNotFound" => "Check subscription, resource group and cluster name in the provisioner's settings.",
        /// The claim's node class does not exist.
        NodeClassNotFound = "NodeClassNotFound" => "Create the KaitoNodeClass that the message names, or delete the claim. The claim is launched once the class exists; nothing is paid for until then.",
        /// The Machine's spec cannot be carried out.
        InvalidMachine = "InvalidMachine" => "Correct the Machine's requirements; a Machine made by a Workspace follows its resource section.",
        /// The NodeClaim's spec cannot be carried out.
        InvalidNodeClaim = "InvalidNodeClaim" => "A NodeClaim cannot be changed: delete it and make one that asks for what can be had; one made by a Workspace follows its resource section.",
        /// The cloud rejects the request as invalid.
        InvalidRequest = "InvalidRequest" => "Correct what the message names; the request is repeated when the claim changes, and every six hours.",
        /// An older claim of the other kind has this name.
        ClaimNameConflict = "ClaimNameConflict" => "Delete one of the two: a Machine and a NodeClaim of one name would share an instance.",
        /// An instance of this name belongs to another owner.
        InstanceNameConflict = "InstanceNameConflict" => "Rename or delete the instance of this name in the cloud; it is not ours and is left alone.",
        /// The instance failed; it is replaced.
        InstanceFailed = "InstanceFailed" => "Nothing to do: the instance is deleted and made again. See the message for the cloud's reason.",
        /// The instance of a live claim is being deleted.
        InstanceDeleting = "InstanceDeleting" => "Nothing to do: the instance is made again when it is gone.",
        /// The cloud failed without a reason.
        LaunchFailed = "LaunchFailed" => "Nothing to do: it is tried again. If it lasts, look up the request id in the cloud's activity log.",
        /// There is no instance yet.
        MachineNotLaunched = "MachineNotLaunched" => "",
        /// No Node has joined yet.
        NodeNotFound = "NodeNotFound" => "If it lasts, look at the instance's boot log: network, API server address, bootstrap token.",
        /// More than one Node matches this claim.
        MultipleNodesFound = "MultipleNodesFound" => "Scale the instance back to one node in the cloud: on AKS it is the agent pool of this name.",
        /// Many Nodes were deleted at once, so this one's instance waits.
        NodeDeletionHeld = "NodeDeletionHeld" => "Nothing to do: the instance is given back when its turn comes. Delete the claim to give it back now; stop the provisioner if the deletion was a mistake.",
        /// The Node is unhealthy, and is replaced if it stays so.
        NodeUnhealthy = "NodeUnhealthy" => "Nothing to do: the node is replaced at the time in the message. To keep it, set the annotation kaito.sh/do-not-repair: \"true\" on its claim or Node.",
        /// The Node offers fewer GPUs than it did, and is replaced if it stays so.
        GpusLost = "GPUsLost" => "Look at the device plugin's pod on the Node. Otherwise nothing to do: the node is replaced at the time in the message.",
        /// The Node is unhealthy, and its replacement waits.
        NodeRepairHeld = "NodeRepairHeld" => "Look for a cause outside the node, which the message names. Delete the claim to replace the node now.",
        /// The Node is unhealthy, and an annotation forbids its replacement.
        NodeRepairForbidden = "NodeRepairForbidden" => "Remove the annotation kaito.sh/do-not-repair from the claim and its Node, or delete the claim.",
        /// The node class has changed since the node was made.
        NodeClassDrifted = "NodeClassDrifted" => "Delete the claim to replace the node, or set gpuProvisioner.replaceDriftedNodes. Both restart the model.",
        /// The cloud takes back the spot capacity of the Node.
        SpotNodeReclaimed = "SpotNodeReclaimed" => "Nothing to do: another node is bought. Choose on-demand capacity for what must not be interrupted.",
        /// The Node is not ready.
        NodeNotReady = "NodeNotReady" => "Look at the Node's conditions and its kubelet.",
        /// A start-up taint is still there.
        StartupTaintsExist = "StartupTaintsExist" => "The agent that removes the taint has not run on the Node yet.",
        /// A taint of a starting Node is still there.
        KnownEphemeralTaintsExist = "KnownEphemeralTaintsExist" => "The Node is still starting; look at its cloud controller and network plugin if it lasts.",
        /// A requested resource is not offered.
        ResourceNotRegistered = "ResourceNotRegistered" => "Install the device plugin, or look at its pod on this Node.",
        /// The Node is being drained.
        Draining = "Draining" => "If it lasts, look at the pod named in the message: a disruption budget or a long grace period holds it.",
        /// Volumes are still attached.
        AwaitingVolumeDetachment = "AwaitingVolumeDetachment" => "",
        /// The instance is being deleted.
        InstanceTerminating = "InstanceTerminating" => "",
    }
}

#[cfg(test)]
mod tests;

//! Condition types, the closed set of reasons, and how a condition list is updated.
//!
//! Every reason knows what to do about it ([`WorkspaceReason::remedy`], [`ClaimReason::remedy`]), so that a
//! status message can always say why something is stuck and what helps.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub use crate::claim::ClaimConditionType;
use crate::claim::ClaimKind;
use crate::machine_status::MachineCondition;
use crate::node_claim_status::NodeClaimCondition;
use crate::text::cut;
pub use crate::workspace_reason::WorkspaceReason;

/// The conditions of a Workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkspaceConditionType {
    /// Enough Machines are ready (absent where nodes are not made by Machines).
    MachineReady,
    /// Enough NodeClaims are ready (absent where nodes are not made by NodeClaims).
    NodeClaimReady,
    /// Enough nodes are ready and offer their GPUs.
    NodesReady,
    /// Everything the workload needs is there.
    ResourceReady,
    /// The model answers.
    InferenceReady,
    /// The tuning Job has started.
    JobStarted,
    /// The Workspace does what it was made for; the name of the Machine era.
    WorkspaceReady,
    /// The same; the name of `v1beta1`.
    WorkspaceSucceeded,
    /// The Workspace is being deleted.
    WorkspaceDeleting,
}

impl WorkspaceConditionType {
    /// The `type` in the object.
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
    /// So.
    True,
    /// Not so.
    False,
    /// Not known yet.
    Unknown,
}

impl Status {
    /// The word in the object.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// The status spelled so; any other word is `Unknown`.
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

/// A Workspace condition whose transition time is `now` unless `previous` already has this status. The reason is a
/// word of either closed set: what ails a Machine is told of its Workspace in the same word.
#[must_use]
pub fn condition(
    previous: &[Condition],
    now: Timestamp,
    generation: i64,
    kind: WorkspaceConditionType,
    status: Status,
    reason: &str,
    message: &str,
) -> Condition {
    let before = previous
        .iter()
        .find(|c| c.type_ == kind.as_str() && c.status == status.as_str());
    Condition {
        type_: kind.as_str().to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message: cut(message, MESSAGE_MAX),
        observed_generation: Some(generation),
        last_transition_time: before.map_or(Time(whole_seconds(now)), |c| c.last_transition_time.clone()),
    }
}

/// A Machine condition whose transition time is `now` unless `previous` already has this status.
#[must_use]
pub fn machine_condition(
    previous: &[MachineCondition],
    now: Timestamp,
    kind: ClaimConditionType,
    status: Status,
    reason: Option<ClaimReason>,
    message: &str,
) -> MachineCondition {
    let type_ = kind.as_str(ClaimKind::Machine);
    let before = previous
        .iter()
        .find(|c| c.type_ == type_ && c.status == status.as_str());
    MachineCondition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        severity: String::new(),
        reason: reason.map_or_else(String::new, |r| r.as_str().to_owned()),
        message: cut(message, MESSAGE_MAX),
        last_transition_time: before.map_or_else(
            || whole_seconds(now).to_string(),
            |c| c.last_transition_time.clone(),
        ),
    }
}

/// A NodeClaim condition. Its transition time is that of `previous` while the status stays; a condition that nobody has
/// written yet has been `Unknown` since `born`, when the NodeClaim was made.
#[must_use]
pub fn node_claim_condition(
    previous: &[NodeClaimCondition],
    (born, now): (Timestamp, Timestamp),
    generation: i64,
    type_: &str,
    status: Status,
    reason: &str,
    message: &str,
) -> NodeClaimCondition {
    let before = previous.iter().find(|c| c.type_ == type_);
    let since = match before {
        Some(before) if before.status == status.as_str() => before.last_transition_time.0,
        None if status == Status::Unknown => whole_seconds(born),
        _ => whole_seconds(now),
    };
    NodeClaimCondition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message: cut(message, MESSAGE_MAX),
        last_transition_time: Time(since),
        observed_generation: Some(generation),
    }
}

/// The API server keeps whole seconds; a finer time would differ from its own copy at every pass.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal => $remedy:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in the object.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What helps; empty where nothing needs to be done.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }

            /// The reason spelled so.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|r| r.as_str() == text)
            }
        }
    };
}
pub(crate) use reasons;

reasons! {
    /// Why a condition of a claim is as it is.
    ClaimReason {
        /// The step is done.
        Done = "Done" => "",
        /// Nothing was looked at yet.
        AwaitingReconciliation = "AwaitingReconciliation" => "",
        /// The cloud's answer is not known yet.
        AwaitingCloud = "AwaitingCloud" => "",
        /// The agent pool was asked for and is being made.
        AgentPoolCreating = "AgentPoolCreating" => "",
        /// Another operation holds the cluster; the request is repeated.
        WaitingForCluster = "WaitingForCluster" => "",
        /// Too many requests; the request is repeated later.
        Throttled = "Throttled" => "Nothing to do: the request is repeated when the cloud allows it.",
        /// The instance type cannot be had here.
        SkuNotAvailable = "SKUNotAvailable" => "Choose another instance type, another region, or ask the cloud to lift the restriction.",
        /// The subscription's quota is used up.
        SubscriptionQuotaReached = "SubscriptionQuotaReached" => "Ask for more quota of this family in this region, or delete what uses it.",
        /// The cloud has no such machine free now.
        AllocationFailure = "AllocationFailure" => "Nothing to do: it is tried again. Another instance type or region may have capacity.",
        /// The cloud refuses our identity.
        AuthorizationFailed = "AuthorizationFailed" => "Give the provisioner's identity the Contributor role on the managed cluster and check its federated credential.",
        /// The managed cluster named in the configuration does not exist.
        ClusterNotFound = "ClusterNotFound" => "Check subscription, resource group and cluster name in the provisioner's settings.",
        /// The Machine asks for what cannot be made.
        InvalidMachine = "InvalidMachine" => "Correct the Machine's requirements; a Machine made by a Workspace follows its resource section.",
        /// The NodeClaim asks for what cannot be made.
        InvalidNodeClaim = "InvalidNodeClaim" => "A NodeClaim cannot be changed: delete it and make one that asks for what can be had; one made by a Workspace follows its resource section.",
        /// The cloud refuses the request as wrong.
        InvalidRequest = "InvalidRequest" => "Correct what the message names; the request is not repeated until the claim changes.",
        /// A claim of the other kind has this name, and was there first.
        ClaimNameConflict = "ClaimNameConflict" => "Delete one of the two: a Machine and a NodeClaim of one name would share an agent pool.",
        /// A pool of this name belongs to somebody else.
        AgentPoolNameConflict = "AgentPoolNameConflict" => "Rename or delete the agent pool of this name; it is not ours and is left alone.",
        /// The pool failed; it is deleted and made again.
        AgentPoolFailed = "AgentPoolFailed" => "Nothing to do: the pool is deleted and made again. See the message for the cloud's reason.",
        /// The pool of a live claim is being deleted.
        AgentPoolDeleting = "AgentPoolDeleting" => "Nothing to do: it is made again when it is gone.",
        /// The cloud failed without saying why.
        LaunchFailed = "LaunchFailed" => "Nothing to do: it is tried again. If it lasts, look up the request id in the cloud's activity log.",
        /// There is no instance yet.
        MachineNotLaunched = "MachineNotLaunched" => "",
        /// No Node has joined yet.
        NodeNotFound = "NodeNotFound" => "If it lasts, look at the instance's boot log: network, API server address, bootstrap token.",
        /// More than one Node claims to be this claim's.
        MultipleNodesFound = "MultipleNodesFound" => "Scale the agent pool back to one node.",
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
        /// The agent pool is being deleted.
        InstanceTerminating = "InstanceTerminating" => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_back_and_are_one_word() {
        for reason in ClaimReason::ALL {
            assert_eq!(ClaimReason::parse(reason.as_str()), Some(*reason));
        }
        for reason in WorkspaceReason::ALL {
            assert_eq!(WorkspaceReason::parse(reason.as_str()), Some(*reason));
            assert!(reason.as_str().chars().all(|c| c.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let kind = WorkspaceConditionType::ResourceReady;
        let reason = WorkspaceReason::NodesNotReady.as_str();
        let early = Timestamp::from_second(1_000).unwrap();
        let late = Timestamp::from_second(2_000).unwrap();
        let first = condition(&[], early, 1, kind, Status::False, reason, "a");
        let same = condition(
            std::slice::from_ref(&first),
            late,
            2,
            kind,
            Status::False,
            reason,
            "b",
        );
        assert_eq!(same.last_transition_time, Time(early));
        let flipped = condition(
            &[same],
            late,
            2,
            kind,
            Status::True,
            WorkspaceReason::ResourceReady.as_str(),
            "",
        );
        assert_eq!(flipped.last_transition_time, Time(late));
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let cut = cut(&"ä".repeat(MESSAGE_MAX), MESSAGE_MAX);
        assert!(cut.len() <= MESSAGE_MAX && cut.ends_with("..."));
    }
}

//! Settings that an administrator chooses and the program parses.

use std::str::FromStr;
use std::sync::Arc;

use instance_types::{Catalog, Ceilings, Cloud};
use jiff::SignedDuration;
use kaito_api::{AllowedOfferings, Claim, ClaimKind, NodeClassRef, labels};
use preset_catalog::EngineImage;
use preset_catalog::fit::RetiredTypes;

use crate::metadata::label;
use crate::upgrades::Upgrades;

/// Source of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisionerMode {
    /// Machines, for a gpu-provisioner.
    Machine,
    /// NodeClaims, for the provisioner of their node class.
    NodeClaim,
    /// Nodes of the user, found by label.
    Byo,
}

impl ProvisionerMode {
    /// Returns the kind of claim that is created; `None` where users bring their own nodes.
    #[must_use]
    pub fn claim_kind(self) -> Option<ClaimKind> {
        match self {
            Self::Machine => Some(ClaimKind::Machine),
            Self::NodeClaim => Some(ClaimKind::NodeClaim),
            Self::Byo => None,
        }
    }
}

/// Most nodes of one Workspace: from 1 to [`NodeLimit::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimit(u32);

impl NodeLimit {
    /// The highest limit. No loop over nodes or ordinals runs longer.
    pub const MAX: u32 = 1000;

    /// Returns the limit; `None` outside 1 to [`NodeLimit::MAX`].
    #[must_use]
    pub fn new(nodes: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&nodes).then_some(Self(nodes))
    }

    /// Number of nodes.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for NodeLimit {
    fn default() -> Self {
        Self(100)
    }
}

impl FromStr for NodeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let limit = text.parse().ok().and_then(Self::new);
        limit.ok_or_else(|| format!("must be a number from 1 to {}", Self::MAX))
    }
}

/// Time for which the nodes of an ended tuning stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRetention {
    /// They stay until the Workspace is deleted.
    Keep,
    /// They stay for this time.
    For(SignedDuration),
}

impl NodeRetention {
    /// The time; `None` if they are kept.
    pub(crate) fn time(self) -> Option<SignedDuration> {
        match self {
            Self::Keep => None,
            Self::For(time) => Some(time),
        }
    }
}

impl Default for NodeRetention {
    fn default() -> Self {
        Self::For(SignedDuration::from_mins(10))
    }
}

impl FromStr for NodeRetention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "keep" {
            return Ok(Self::Keep);
        }
        let time = text.parse::<SignedDuration>().ok();
        time.filter(|time| !time.is_negative())
            .map(Self::For)
            .ok_or_else(|| "must be `keep` or a duration, such as 10m".to_owned())
    }
}

/// Settings of the planner.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Source of nodes.
    pub mode: ProvisionerMode,
    /// Settings of all NodeClaims.
    pub node_claims: render::NodeClaimOptions,
    /// Capacity types and zones of the nodes of Workspaces whose annotations name none.
    pub offerings: AllowedOfferings,
    /// Cloud whose instance types are used.
    pub cloud: Cloud,
    /// The built-in instance types and those of the administrator.
    pub instance_types: Arc<Catalog>,
    /// Default image family of nodes: `ubuntu` or `azurelinux`.
    pub node_image_family: String,
    /// Most nodes of one Workspace.
    pub max_nodes: NodeLimit,
    /// Ceilings of nodes and of their price.
    pub ceilings: Ceilings,
    /// Time for which the nodes of an ended tuning stay.
    pub tuning_node_retention: NodeRetention,
    /// Facts about the image of vLLM and of the tuning scripts.
    pub engine: EngineImage,
    /// Treatment of retired instance types.
    pub retired_types: RetiredTypes,
    /// Time of upgrades.
    pub upgrades: Upgrades,
    /// Images of our containers.
    pub images: render::Images,
    /// Allowed downloads of those containers.
    pub downloads: render::Downloads,
    /// Proxies and authorities of the connections that pods of Workspaces open.
    pub outgoing: render::Outgoing,
    /// Defaults of serving, which annotations of a Workspace change.
    pub serving: render::Serving,
    /// True if kubelets mount images as volumes.
    pub image_volumes: bool,
    /// Separation of the Workspaces from each other.
    pub isolation: render::Isolation,
}

impl Settings {
    /// Returns the separation that the provisioners of these claims, and of those to come, support.
    pub(crate) fn isolation(&self, claims: &[Claim]) -> render::Isolation {
        // A Karpenter copies labels to its Nodes through the kubelet, which may not set this one. Its claims stay when other
        // claims are created from now on.
        let sets_label = |class: Option<&NodeClassRef>| class.is_none_or(NodeClassRef::is_kaito);
        let will_set_label = match self.mode {
            ProvisionerMode::Machine => true,
            ProvisionerMode::NodeClaim => sets_label(Some(&self.node_claims.class)),
            ProvisionerMode::Byo => false,
        };
        // Claims of upstream's controller name no UID, so their Nodes have no label with it.
        let has_label = |claim: &Claim| {
            sets_label(claim.node_class()) && label(claim.metadata(), labels::WORKSPACE_UID).is_some()
        };
        let all_set_label = will_set_label && claims.iter().all(has_label);
        render::Isolation {
            restricted_label: self.isolation.restricted_label && all_set_label,
            ..self.isolation
        }
    }
}

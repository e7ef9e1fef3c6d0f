//! Settings that an administrator chooses and the program parses.

use instance_types::Cloud;
use kaito_api::ClaimKind;

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

/// Settings of the planner.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Source of nodes.
    pub mode: ProvisionerMode,
    /// Settings of all NodeClaims.
    pub node_claims: render::NodeClaimOptions,
    /// Cloud whose instance types are used.
    pub cloud: Cloud,
    /// Default image family of nodes: `ubuntu` or `azurelinux`.
    pub node_image_family: String,
    /// Images of our containers.
    pub images: render::Images,
    /// Allowed downloads of those containers.
    pub downloads: render::Downloads,
}

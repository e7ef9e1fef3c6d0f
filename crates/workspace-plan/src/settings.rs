//! What an administrator can choose; parsed by the program, a value here.

use instance_types::Cloud;
use kaito_api::ClaimKind;

/// Where nodes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisionerMode {
    /// Machines are created and a provisioner answers them.
    Machine,
    /// NodeClaims are created and the provisioner of their class answers them.
    NodeClaim,
    /// Nodes are brought along and found by label.
    Byo,
}

impl ProvisionerMode {
    /// The kind of claim that is made; none where nodes are brought along.
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
    /// Where nodes come from.
    pub mode: ProvisionerMode,
    /// What all NodeClaims ask for.
    pub node_claims: render::NodeClaimOptions,
    /// Whose instance types are looked up.
    pub cloud: Cloud,
    /// `ubuntu` or `azurelinux`, for nodes whose Workspace does not say.
    pub node_image_family: String,
    /// Images of the containers we make pods of.
    pub images: render::Images,
    /// What those containers may download.
    pub downloads: render::Downloads,
}

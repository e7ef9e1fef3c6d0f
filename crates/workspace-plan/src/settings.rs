//! What an administrator can choose; parsed by the program, a value here.

use instance_types::Cloud;

/// Where nodes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisionerMode {
    /// Machines are created and a provisioner answers them.
    Machine,
    /// Nodes are brought along and found by label.
    Byo,
}

/// Settings of the planner.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where nodes come from.
    pub mode: ProvisionerMode,
    /// Whose instance types are looked up.
    pub cloud: Cloud,
    /// `ubuntu` or `azurelinux`, for nodes whose Workspace does not say.
    pub node_image_family: String,
    /// Images of the containers we make pods of.
    pub images: render::Images,
    /// What those containers may download.
    pub downloads: render::Downloads,
}

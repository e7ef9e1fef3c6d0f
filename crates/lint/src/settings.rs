//! Settings of the linter.

use admission::table::{Unlisted, WeightSource};
use instance_types::Cloud;
use preset_catalog::Catalog;

/// Source of the nodes of Workspaces: the chart's `nodeProvisioner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeSource {
    /// A provisioner creates nodes of the Workspace's instance type.
    #[default]
    Provisioned,
    /// Existing nodes are selected by label.
    Existing,
}

/// The target cluster of the object.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Presets of its registry.
    pub presets: &'a Catalog,
    /// Instance types of all clouds.
    pub instance_types: &'a instance_types::Catalog,
    /// Cloud of the cluster.
    pub cloud: Cloud,
    /// Source of its nodes.
    pub nodes: NodeSource,
    /// True if its registry queries a model hub for unknown presets.
    pub unlisted: Unlisted,
    /// Source of the weights of its Workspaces.
    pub weights: WeightSource,
}

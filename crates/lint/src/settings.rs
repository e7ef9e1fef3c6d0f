//! Settings of the linter.

use admission::table::TableOptions;
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
    /// Source of its nodes.
    pub nodes: NodeSource,
    /// Settings of its installation.
    pub options: TableOptions,
}

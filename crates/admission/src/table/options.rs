//! Settings of the installation that change verdicts. The controller and the policies must have the same.

use instance_types::{Ceiling, Ceilings, Cloud, ComputeCapability, UsdPerHour};
use preset_catalog::EngineImage;
use preset_catalog::fit::RetiredTypes;

/// Treatment of names outside the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// They are rejected.
    Refused,
    /// Names of the form `owner/repository` may exist on a model hub.
    MayBeOnHub,
}

/// Source of the weights that Workspaces download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightSource {
    /// The hub that the catalog describes: it asks for a token for gated models.
    #[default]
    Hub,
    /// A mirror, which asks for none.
    Mirror,
}

/// Settings of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableOptions {
    /// Cloud of the instance types.
    pub cloud: Cloud,
    /// Treatment of names outside the table.
    pub unlisted: Unlisted,
    /// Source of the weights of Workspaces.
    pub weights: WeightSource,
    /// Image of the GPU engine.
    pub engine: EngineImage,
    /// Treatment of retired instance types.
    pub retired: RetiredTypes,
    /// Ceilings of nodes and of their price.
    pub ceilings: Ceilings,
}

impl TableOptions {
    /// Settings of an installation with the chart's defaults.
    #[must_use]
    pub fn new(cloud: Cloud, unlisted: Unlisted) -> Self {
        Self {
            cloud,
            unlisted,
            weights: WeightSource::Hub,
            engine: EngineImage::default(),
            retired: RetiredTypes::default(),
            ceilings: Ceilings::default(),
        }
    }
}

/// Flags about the image of the GPU engine.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EngineImageArgs {
    /// Image of vLLM and of the tuning scripts; the default is that of the chart.
    #[arg(long, env = "BASE_IMAGE", value_name = "IMAGE")]
    pub base_image: Option<String>,
    /// Lowest CUDA compute capability that the image supports, such as 8.0; the default is known for kaito-base only.
    #[arg(long, env = "BASE_IMAGE_MIN_COMPUTE_CAPABILITY", value_name = "VERSION")]
    pub base_image_min_compute_capability: Option<ComputeCapability>,
    /// True if the image contains the CUDA toolkit; the default is known for kaito-base only.
    #[arg(long, env = "BASE_IMAGE_CUDA_TOOLKIT", value_name = "BOOL")]
    pub base_image_cuda_toolkit: Option<bool>,
}

impl EngineImageArgs {
    /// Returns the facts about the image.
    #[must_use]
    pub fn facts(&self) -> EngineImage {
        let image = self.base_image.as_deref();
        image.map_or_else(EngineImage::default, EngineImage::of).stated(
            self.base_image_min_compute_capability,
            self.base_image_cuda_toolkit,
        )
    }
}

/// Flags about ceilings of nodes and of their on-demand list price. Unset is no ceiling.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CeilingArgs {
    /// Most nodes of one Workspace.
    #[arg(long, env = "WORKSPACE_NODE_CEILING", value_name = "NODES")]
    pub workspace_node_ceiling: Option<u32>,
    /// Highest list price of one Workspace's nodes, in US dollars per hour.
    #[arg(long, env = "WORKSPACE_PRICE_CEILING", value_name = "USD")]
    pub workspace_price_ceiling: Option<UsdPerHour>,
    /// Most nodes of all Workspaces of a namespace.
    #[arg(long, env = "NAMESPACE_NODE_CEILING", value_name = "NODES")]
    pub namespace_node_ceiling: Option<u32>,
    /// Highest list price of the nodes of all Workspaces of a namespace, in US dollars per hour.
    #[arg(long, env = "NAMESPACE_PRICE_CEILING", value_name = "USD")]
    pub namespace_price_ceiling: Option<UsdPerHour>,
}

impl CeilingArgs {
    /// Returns the ceilings of a Workspace and of a namespace.
    #[must_use]
    pub fn ceilings(&self) -> Ceilings {
        Ceilings {
            workspace: Ceiling {
                nodes: self.workspace_node_ceiling,
                usd_per_hour: self.workspace_price_ceiling,
            },
            namespace: Ceiling {
                nodes: self.namespace_node_ceiling,
                usd_per_hour: self.namespace_price_ceiling,
            },
        }
    }
}

/// Flags for the settings. workspace-controller has the same flags, and for the most part these types.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings of the installation")]
pub struct VerdictArgs {
    /// Image of the GPU engine.
    #[command(flatten)]
    pub engine: EngineImageArgs,
    /// Workspaces download weights from a mirror: gated presets need no token.
    #[arg(long, env = "WEIGHTS_MIRROR")]
    pub weights_mirror: bool,
    /// Treatment of retired instance types: replace or refuse.
    #[arg(long, env = "RETIRED_INSTANCE_TYPES", default_value = "replace")]
    pub retired_instance_types: RetiredTypes,
    /// Ceilings of nodes and of their price.
    #[command(flatten)]
    pub ceilings: CeilingArgs,
}

impl VerdictArgs {
    /// Returns the settings of the table.
    #[must_use]
    pub fn options(&self, cloud: Cloud, unlisted: Unlisted) -> TableOptions {
        TableOptions {
            cloud,
            unlisted,
            weights: if self.weights_mirror {
                WeightSource::Mirror
            } else {
                WeightSource::Hub
            },
            engine: self.engine.facts(),
            retired: self.retired_instance_types,
            ceilings: self.ceilings.ceilings(),
        }
    }
}

//! Choice of the cloud: the only file that names one.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use cloudprovider::{CloudProvider, LaunchLimits, SpotMarks};
use cloudprovider_azure::{AzureArgs, AzureProvider};

/// Flags of all clouds.
#[derive(Args, Clone, Debug)]
pub struct ProviderArgs {
    /// Cloud that creates the instances.
    #[arg(long, env = "CLOUD_PROVIDER", value_enum, default_value_t = CloudName::Azure)]
    pub cloud_provider: CloudName,
    /// Flags of Azure.
    #[command(flatten)]
    pub azure: AzureArgs,
}

/// Name of a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CloudName {
    /// Agent pools of AKS.
    Azure,
}

/// The chosen cloud.
#[derive(Clone, Debug)]
pub struct ChosenCloud {
    /// Adapter of the port.
    pub provider: Arc<dyn CloudProvider>,
    /// Id that marks this cluster's instances.
    pub cluster_id: String,
    /// The cluster of the cloud in which instances are launched.
    pub place: String,
    /// Limits of the cloud on a launch.
    pub launch_limits: LaunchLimits,
    /// Marks of the cloud's spot Nodes.
    pub spot_marks: SpotMarks,
}

impl ProviderArgs {
    /// Creates the adapter of the chosen cloud; sends nothing to the cloud yet.
    ///
    /// # Errors
    /// When a flag of the cloud is missing or invalid.
    pub fn choose(&self) -> anyhow::Result<ChosenCloud> {
        Ok(match self.cloud_provider {
            CloudName::Azure => ChosenCloud {
                provider: Arc::new(self.azure.provider()?),
                cluster_id: self.azure.cluster_id(),
                place: self.azure.place(),
                launch_limits: AzureProvider::launch_limits(&self.azure.location),
                spot_marks: AzureProvider::spot_marks(),
            },
        })
    }
}

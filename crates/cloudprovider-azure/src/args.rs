//! Flags and environment variables of the Azure adapter, named as upstream and the workload identity webhook name
//! them.

use std::path::PathBuf;

use clap::Args;

use crate::compute::short_region;
use crate::config::{AzureConfig, ConnectError, Settings};
use crate::endpoint::{Endpoint, EndpointError};
use crate::provider::AzureProvider;

/// The AKS cluster, its address and the identity. Surrounding space is ignored everywhere.
#[derive(Args, Clone, Debug, Default)]
pub struct AzureArgs {
    /// Subscription of the AKS cluster.
    #[arg(long, env = "ARM_SUBSCRIPTION_ID", default_value = "")]
    pub arm_subscription_id: String,
    /// Resource group of the AKS cluster.
    #[arg(long, env = "ARM_RESOURCE_GROUP", default_value = "")]
    pub arm_resource_group: String,
    /// Name of the AKS cluster.
    #[arg(long, env = "AZURE_CLUSTER_NAME", default_value = "")]
    pub azure_cluster_name: String,
    /// Region of the AKS cluster: the first part of the names of its zones.
    #[arg(long, env = "LOCATION", default_value = "")]
    pub location: String,
    /// Entra tenant of the identity.
    #[arg(long, env = "AZURE_TENANT_ID", default_value = "")]
    pub azure_tenant_id: String,
    /// Client id of the identity.
    #[arg(long, env = "AZURE_CLIENT_ID", default_value = "")]
    pub azure_client_id: String,
    /// File with the projected service account token.
    #[arg(long, env = "AZURE_FEDERATED_TOKEN_FILE", default_value = "")]
    pub azure_federated_token_file: String,
    /// URL of the service that issues access tokens.
    #[arg(
        long,
        env = "AZURE_AUTHORITY_HOST",
        default_value = "https://login.microsoftonline.com/"
    )]
    pub azure_authority_host: String,
    /// URL of Azure Resource Manager.
    #[arg(long, env = "ARM_ENDPOINT", default_value = "https://management.azure.com")]
    pub arm_endpoint: String,
    /// Permit http:// for ARM_ENDPOINT and AZURE_AUTHORITY_HOST. For tests only: tokens are sent unencrypted.
    #[arg(long, env = "ALLOW_INSECURE_ENDPOINTS")]
    pub allow_insecure_endpoints: bool,
    /// Id of the cluster. It is written to every agent pool, and compared before one is deleted. Defaults to
    /// subscription/group/cluster.
    #[arg(long, env = "CLUSTER_ID", default_value = "")]
    pub cluster_id: String,
    /// Send requests without limits of our own. For tests against a server without limits.
    #[arg(long, env = "UNLIMITED_REQUESTS")]
    pub unlimited_requests: bool,
}

/// Flags or variables that are missing or invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// The variable is missing or blank.
    #[error("{0} must be set")]
    Missing(&'static str),
    /// The address is invalid.
    #[error("{variable}: {error}")]
    Endpoint {
        /// Name of the variable.
        variable: &'static str,
        /// The problem.
        error: EndpointError,
    },
    /// No provider can be created from them.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl AzureArgs {
    /// The configuration.
    ///
    /// # Errors
    /// When a variable is missing or an address is invalid.
    pub fn config(&self) -> Result<AzureConfig, ArgsError> {
        let endpoint = |variable, text: &str| {
            Endpoint::parse(text, self.allow_insecure_endpoints)
                .map_err(|error| ArgsError::Endpoint { variable, error })
        };
        Ok(AzureConfig {
            subscription: required("ARM_SUBSCRIPTION_ID", &self.arm_subscription_id)?,
            resource_group: required("ARM_RESOURCE_GROUP", &self.arm_resource_group)?,
            cluster: required("AZURE_CLUSTER_NAME", &self.azure_cluster_name)?,
            region: short_region(&self.location),
            tenant: required("AZURE_TENANT_ID", &self.azure_tenant_id)?,
            client: required("AZURE_CLIENT_ID", &self.azure_client_id)?,
            token_file: PathBuf::from(required(
                "AZURE_FEDERATED_TOKEN_FILE",
                &self.azure_federated_token_file,
            )?),
            endpoint: endpoint("ARM_ENDPOINT", &required("ARM_ENDPOINT", &self.arm_endpoint)?)?,
            authority: endpoint(
                "AZURE_AUTHORITY_HOST",
                &required("AZURE_AUTHORITY_HOST", &self.azure_authority_host)?,
            )?,
        })
    }

    /// Id that distinguishes this cluster's pools from others': CLUSTER_ID, or the lower-case
    /// `subscription/group/cluster`.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        let chosen = self.cluster_id.trim();
        if !chosen.is_empty() {
            return chosen.to_owned();
        }
        self.place()
    }

    /// The lower-case `subscription/group/cluster`.
    #[must_use]
    pub fn place(&self) -> String {
        let place = [
            &self.arm_subscription_id,
            &self.arm_resource_group,
            &self.azure_cluster_name,
        ];
        place.map(|part| part.trim().to_ascii_lowercase()).join("/")
    }

    /// Limits on requests, and their timeouts.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        if self.unlimited_requests {
            settings.limits = None;
        }
        settings
    }

    /// Creates the provider; sends nothing to Azure yet.
    ///
    /// # Errors
    /// As [`Self::config`], and when the token file cannot be read.
    pub fn provider(&self) -> Result<AzureProvider, ArgsError> {
        Ok(AzureProvider::new(self.config()?, self.settings())?)
    }
}

fn required(variable: &'static str, value: &str) -> Result<String, ArgsError> {
    match value.trim() {
        "" => Err(ArgsError::Missing(variable)),
        value => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> AzureArgs {
        let text = |text: &str| text.to_owned();
        AzureArgs {
            arm_subscription_id: text(" Sub "),
            arm_resource_group: text("RG"),
            azure_cluster_name: text("Kai\n"),
            azure_tenant_id: text("t"),
            azure_client_id: text("c"),
            azure_federated_token_file: text("/token"),
            azure_authority_host: text("https://login.microsoftonline.com/"),
            arm_endpoint: text("https://management.azure.com"),
            ..AzureArgs::default()
        }
    }

    #[test]
    fn values_are_trimmed_and_keep_their_case() {
        let config = args().config().unwrap();
        assert_eq!(
            (config.subscription.as_str(), config.cluster.as_str()),
            ("Sub", "Kai")
        );
        assert_eq!(args().cluster_id(), "sub/rg/kai");
        assert_eq!(
            AzureArgs {
                cluster_id: " mine ".to_owned(),
                ..args()
            }
            .cluster_id(),
            "mine"
        );
    }

    #[test]
    fn errors_name_the_variable() {
        let missing = AzureArgs {
            arm_resource_group: "  ".to_owned(),
            ..args()
        };
        assert_eq!(
            missing.config().unwrap_err(),
            ArgsError::Missing("ARM_RESOURCE_GROUP")
        );
        let plain = AzureArgs {
            arm_endpoint: "http://127.0.0.1:1".to_owned(),
            ..args()
        };
        let error = plain.config().unwrap_err().to_string();
        assert!(
            error.starts_with("ARM_ENDPOINT: `http://127.0.0.1:1` is not encrypted"),
            "{error}"
        );
        let allowed = AzureArgs {
            allow_insecure_endpoints: true,
            ..plain
        };
        assert!(allowed.config().is_ok());
    }

    #[test]
    fn the_error_of_a_missing_token_file_gives_advice() {
        let args = AzureArgs {
            azure_federated_token_file: "/nowhere/token".to_owned(),
            ..args()
        };
        let error = args.provider().unwrap_err().to_string();
        assert!(
            error.contains("/nowhere/token") && error.contains("azure.workload.identity"),
            "{error}"
        );
    }

    #[test]
    fn limits_can_be_lifted() {
        assert!(args().settings().limits.is_some());
        assert!(
            AzureArgs {
                unlimited_requests: true,
                ..args()
            }
            .settings()
            .limits
            .is_none()
        );
    }
}

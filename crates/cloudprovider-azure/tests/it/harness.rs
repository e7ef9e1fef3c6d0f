//! A simulated Azure and a provider that uses it.

use std::time::Duration;

use arm_server::control::{Behavior, ClusterView, ControlClient, FaultRule};
use arm_server::{ArmServerConfig, ServerHandle, serve};
use cloudprovider::{
    CloudProvider as _, ErrorClass, Instance, InstanceState, LaunchSpec, OperationStatus, ProviderError,
};
use cloudprovider_azure::{AzureArgs, AzureProvider, Settings};
use tempfile::TempDir;

/// Instance type of pools here.
pub(crate) const SIZE: &str = "Standard_NC24ads_A100_v4";

/// A server with millisecond latencies and a provider without limits.
pub(crate) struct Stage {
    pub(crate) server: ServerHandle,
    pub(crate) provider: AzureProvider,
    pub(crate) control: ControlClient,
    pub(crate) args: AzureArgs,
    pub(crate) dir: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::behaving(Behavior::quick(30)).await
    }

    /// A stage whose server behaves in this way.
    pub(crate) async fn behaving(behavior: Behavior) -> Self {
        Self::with(behavior, ArmServerConfig::default()).await
    }

    pub(crate) async fn with(behavior: Behavior, config: ArmServerConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, "assertion-1").unwrap();
        let config = ArmServerConfig {
            behavior,
            token_file: Some(token_file.clone()),
            ..config
        };
        let mut args = AzureArgs {
            arm_subscription_id: config.subscription.clone(),
            // Other letter case than the server's, because it must not matter.
            arm_resource_group: config.resource_group.to_uppercase(),
            azure_cluster_name: config.cluster.clone(),
            azure_tenant_id: "11111111-1111-1111-1111-111111111111".to_owned(),
            azure_client_id: "22222222-2222-2222-2222-222222222222".to_owned(),
            azure_federated_token_file: token_file.to_string_lossy().into_owned(),
            allow_insecure_endpoints: true,
            unlimited_requests: true,
            ..AzureArgs::default()
        };
        let server = serve(config).await.unwrap();
        args.arm_endpoint = server.url();
        args.azure_authority_host = server.url();
        let provider = args.provider().unwrap();
        let control = server.control().unwrap();
        Self {
            server,
            provider,
            control,
            args,
            dir,
        }
    }

    /// A provider with other settings.
    pub(crate) fn provider_with(&self, settings: Settings) -> AzureProvider {
        AzureProvider::new(self.args.config().unwrap(), settings).unwrap()
    }

    /// Waits until a pool is in a state.
    pub(crate) async fn until(&self, name: &str, state: &InstanceState) -> Instance {
        for _ in 0..400 {
            let pool = self.provider.get(name).await.unwrap();
            if pool.state == *state {
                return pool;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{name} never got {state:?}");
    }

    /// Waits until a pool is gone.
    pub(crate) async fn until_gone(&self, name: &str) -> ProviderError {
        for _ in 0..400 {
            if let Err(error) = self.provider.get(name).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{name} never went");
    }

    /// Waits until an operation ends.
    pub(crate) async fn outcome(&self, url: &str) -> OperationStatus {
        for _ in 0..400 {
            let status = self.provider.operation(url).await.unwrap();
            if !matches!(status, OperationStatus::Running(..)) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the operation never ended");
    }

    /// Asks for a pool; returns where its operation is read.
    pub(crate) async fn begun(&self, name: &str) -> String {
        let accepted = self.provider.create(&spec(name)).await.unwrap();
        accepted.operation_url.unwrap()
    }

    /// Waits until an operation ends, with this error.
    pub(crate) async fn failure(&self, url: &str) -> ProviderError {
        match self.outcome(url).await {
            OperationStatus::Failed(error) => error,
            other => panic!("it did not fail: {other:?}"),
        }
    }

    /// Lets something go wrong.
    pub(crate) async fn fault(&self, rule: FaultRule) {
        self.control.add_fault(&rule).await.unwrap();
    }

    /// Changes the cluster.
    pub(crate) async fn cluster(&self, view: ClusterView) {
        self.control.set_cluster(&view).await.unwrap();
    }

    /// The error of a creation.
    pub(crate) async fn refused(&self, name: &str) -> ProviderError {
        self.provider.create(&spec(name)).await.unwrap_err()
    }
}

/// A pool as a planner asks for it.
pub(crate) fn spec(name: &str) -> LaunchSpec {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    LaunchSpec {
        name: name.to_owned(),
        instance_type: SIZE.to_owned(),
        labels: pairs(&[("kaito.sh/workspace", "w"), ("karpenter.sh/nodepool", "kaito")]),
        taints: vec!["sku=gpu:NoSchedule".to_owned()],
        tags: pairs(&[("kaito-managed-by", "gpu-provisioner"), ("kaito-claim-uid", "u1")]),
        ..LaunchSpec::default()
    }
}

/// The class and the code.
pub(crate) fn brief(error: &ProviderError) -> (ErrorClass, &str) {
    (error.class, error.code.as_str())
}

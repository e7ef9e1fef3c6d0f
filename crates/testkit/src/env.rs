//! One cluster for all tests of a binary, and a namespace of its own for each test.
//!
//! The cluster ends with the test process, however that ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use local_cluster::{AuditLog, Cluster, ClusterOptions, Stderr, Tier};
use tokio::sync::OnceCell;

use crate::{eventually, install_crypto_provider};

/// Set it to anything to find the cluster's directory, with all logs, after the tests.
pub(crate) const KEEP: &str = "KAITO_TEST_KEEP";

/// Pause between two looks at whether a program has crashed.
const CRASH_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A running cluster and the ways into it.
#[derive(Debug)]
pub struct TestEnv {
    cluster: Cluster,
}

impl TestEnv {
    /// The API server that all tests of this binary share: stores everything, runs nothing.
    ///
    /// # Errors
    /// When the cluster does not come up.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<TestEnv> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| Self::start(ClusterOptions::new(Tier::ControlPlaneOnly)))
            .await
    }

    /// The cluster with controllers, scheduler and simulated nodes that all tests of this binary share.
    ///
    /// # Errors
    /// When the cluster does not come up.
    pub async fn shared_with_nodes() -> Result<&'static Self> {
        static SHARED: OnceCell<TestEnv> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| Self::start(ClusterOptions::new(Tier::WithNodes)))
            .await
    }

    /// A cluster of the caller's own; it ends when this is dropped.
    ///
    /// # Errors
    /// When the cluster does not come up.
    pub async fn start(mut options: ClusterOptions) -> Result<Self> {
        install_crypto_provider();
        options.keep |= std::env::var_os(KEEP).is_some();
        let start = move || Cluster::start(&options, &Stderr);
        let cluster = tokio::task::spawn_blocking(start)
            .await
            .context("starting a cluster panicked")??;
        Ok(Self { cluster })
    }

    /// The cluster itself.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Calls `probe` until it returns `Ok`, as [`eventually`] does. Fails at once, with the end of the log, if a program
    /// of the cluster ends without being stopped.
    ///
    /// # Errors
    /// When the probe never answered `Ok` in time, or a program has ended.
    pub async fn eventually<T>(
        &self,
        what: &str,
        limit: Duration,
        probe: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        tokio::select! {
            found = eventually(what, limit, probe) => found,
            crash = self.crash() => Err(crash.context(format!("while waiting for {what}"))),
        }
    }

    /// Waits until a program has crashed, and returns the end of its log.
    async fn crash(&self) -> anyhow::Error {
        let mut before = Vec::new();
        loop {
            tokio::time::sleep(CRASH_CHECK_INTERVAL).await;
            let now = match self.cluster.crashed() {
                Ok(now) => now,
                Err(error) => return error.into(),
            };
            // A program that is being stopped may be gone a moment before it is off the roll.
            if let Some(log) = now.iter().find(|log| before.contains(*log)) {
                return anyhow::anyhow!("{log}");
            }
            before = now;
        }
    }

    /// The log of every write, to count them.
    pub fn audit(&self) -> AuditLog {
        self.cluster.audit()
    }

    /// An administrator's client. Each test makes its own: a client lives on the runtime it was made on,
    /// and every test has another.
    ///
    /// # Errors
    /// When the kubeconfig is unusable.
    pub async fn client(&self) -> Result<Client> {
        self.client_with(&self.cluster.kubeconfig()).await
    }

    /// A client that uses another kubeconfig, for example one of
    /// [`TestEnv::service_account_kubeconfig`].
    ///
    /// # Errors
    /// When the kubeconfig is unusable.
    pub async fn client_with(&self, kubeconfig: &Path) -> Result<Client> {
        Ok(Client::try_from(config_of(kubeconfig).await?)?)
    }

    /// An administrator's client that acts as another user.
    ///
    /// # Errors
    /// When the kubeconfig is unusable.
    pub async fn client_as(&self, user: &str) -> Result<Client> {
        let mut config = config_of(&self.cluster.kubeconfig()).await?;
        config.auth_info.impersonate = Some(user.to_owned());
        Ok(Client::try_from(config)?)
    }

    /// Creates a namespace that no other test uses and returns its name. Its `default` ServiceAccount is
    /// there, so that pods are admitted.
    ///
    /// # Errors
    /// When the API server rejects it.
    pub async fn namespace(&self) -> Result<String> {
        let client = self.client().await?;
        let metadata = ObjectMeta {
            generate_name: Some("test-".to_owned()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let name = namespaces
            .create(&PostParams::default(), &namespace)
            .await?
            .name_any();
        let accounts = Api::namespaced(client, &name);
        match self.cluster.tier() {
            Tier::ControlPlaneOnly => create_default_account(&accounts).await?,
            Tier::WithNodes | Tier::RealNodes => await_default_account(&accounts).await?,
        }
        Ok(name)
    }
}

/// Does what the controllers do where they run.
async fn create_default_account(accounts: &Api<ServiceAccount>) -> Result<()> {
    let metadata = ObjectMeta {
        name: Some("default".to_owned()),
        ..ObjectMeta::default()
    };
    let account = ServiceAccount {
        metadata,
        ..ServiceAccount::default()
    };
    accounts.create(&PostParams::default(), &account).await?;
    Ok(())
}

async fn await_default_account(accounts: &Api<ServiceAccount>) -> Result<()> {
    eventually(
        "the default ServiceAccount",
        Duration::from_secs(20),
        async || accounts.get("default").await.map(drop).map_err(Into::into),
    )
    .await
}

async fn config_of(kubeconfig: &Path) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // The server is on loopback, whatever the environment says.
    config.proxy_url = None;
    Ok(config)
}

//! The cluster, and the operator in it.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use local_cluster::nodes::{HOST_ADDRESS, HOST_NAME, REGISTRY_NAME};
use local_cluster::{ClusterOptions, NodeHost, NodeOptions, Tier};
use serde_json::{Value, json};
use testkit::web::Clients;
use testkit::{Helm, NAMESPACE, Running, TestEnv};

use crate::registry::UserRegistry;
use crate::{chart, cloud, images};

/// The time limit of every wait, sized for a busy machine.
pub const LIMIT: Duration = Duration::from_secs(300);

/// The node of the operator's own pods.
const SYSTEM_NODE: &str = "system-1";

/// The installed operator.
#[derive(Debug)]
pub struct Installation {
    // It ends before the cluster, which would end it.
    _arm: Running,
    /// The cluster.
    pub env: TestEnv,
    /// Its machine.
    pub host: NodeHost,
    /// The address of the cloud.
    pub arm_url: String,
    /// A registry of a user, without TLS.
    pub(crate) registry: Mutex<UserRegistry>,
    /// The played hub.
    pub(crate) hub_url: String,
    /// The clients of the hub.
    pub(crate) hub_clients: Clients,
}

impl Installation {
    /// Starts a cluster with one real node and a cloud, and installs the operator in a namespace that enforces Pod
    /// Security `restricted`. `report` receives a line before each long step.
    ///
    /// # Errors
    /// When something is not built or does not come up. Without root and Linux there can be no real nodes.
    pub async fn start(report: impl Fn(&str) + Copy + Send + 'static) -> Result<Self> {
        report("starting etcd, kube-apiserver, controller-manager, scheduler, CoreDNS and a registry");
        let env = TestEnv::start(ClusterOptions::new(Tier::RealNodes)).await?;
        // In the directory that goes with the cluster, also if this process is killed: images are large.
        let scratch = env.cluster().dir().join("installation");
        std::fs::create_dir_all(&scratch)?;
        report("booting a node: containerd, kubelet, kube-proxy and kube-router in namespaces of their own");
        let host = NodeHost::open(env.cluster().dir())?;
        host.boot(&NodeOptions {
            name: SYSTEM_NODE.to_owned(),
            ..NodeOptions::default()
        })?;
        let [port] = testkit::reserve_ports::<1>()?;
        let arm_url = format!("http://{HOST_ADDRESS}:{port}");
        let arm = cloud::start(&env, port)?;
        let registry = UserRegistry::start(&env)?;
        report("pushing the images of our programs and the chart to the registry");
        let helm = Helm::of(&env).await?;
        chart::push(&helm, &scratch).await?;
        let images_dir = scratch.join("images");
        tokio::task::spawn_blocking(move || images::push(&images_dir)).await??;
        let get = move || gguf::example::smollm2(&gguf::example::cache(), &report);
        let model = tokio::task::spawn_blocking(get).await??;
        let (hub, hub_clients) = cloud::serve_hub(&model.dir, &scratch)?;
        let installation = Self {
            env,
            host,
            arm_url,
            registry: Mutex::new(registry),
            hub_url: format!("http://{hub}/hub"),
            hub_clients,
            _arm: arm,
        };
        report(&format!("helm install kaito {}", chart::address()));
        installation.install(&installation.hub_url, port).await?;
        Ok(installation)
    }

    /// `helm install --wait`.
    async fn install(&self, hub: &str, cloud_port: u16) -> Result<()> {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels},
        });
        let namespaces: Api<Namespace> = Api::all(self.client().await?);
        namespaces
            .patch(NAMESPACE, &PatchParams::apply("user"), &Patch::Apply(&namespace))
            .await?;
        let values = self.env.cluster().dir().join("values.yaml");
        std::fs::write(&values, self.values(hub, cloud_port)?.to_string())?;
        self.helm(&["install", "kaito"], &[]).await
    }

    fn values(&self, hub: &str, cloud_port: u16) -> Result<Value> {
        let server = self.env.cluster().server();
        let server_port: u16 = server
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .context("the address of the API server has no port")?;
        Ok(json!({
            "nodeProvisioner": "machine",
            "image": {"registry": REGISTRY_NAME, "tag": "1"},
            "workspaceImages": {"base": images::ENGINE_IMAGE},
            "workspaceDownloads": {"hubEndpoint": hub, "allowHttp": true, "allowHosts": [HOST_ADDRESS, HOST_NAME], "plainHttpRegistries": [self.registry_name()]},
            "doctor": {"skip": ["noDevicePlugin"]},
            "workspaceController": {"replicas": 2},
            "presetRegistry": {"replicas": 2},
            "gpuProvisioner": cloud::provisioner_values(&self.arm_url),
            "networkPolicy": {"enabled": true, "egressPorts": [server_port, cloud_port]},
        }))
    }

    /// An administrator's client, for the runtime of the caller.
    ///
    /// # Errors
    /// When the kubeconfig is unusable.
    pub async fn client(&self) -> Result<Client> {
        self.env.client().await
    }

    /// A namespace of a user, whose pods must be `restricted`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn namespace(&self) -> Result<String> {
        let name = self.env.namespace().await?;
        let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let namespaces: Api<Namespace> = Api::all(self.client().await?);
        namespaces
            .patch(&name, &PatchParams::default(), &Patch::Merge(&labels))
            .await?;
        Ok(name)
    }
}

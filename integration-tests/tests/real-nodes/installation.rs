//! The operator, installed as a user does: images in a registry, `helm install`, a cloud. All tests share one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arm_server::control::ControlClient;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kaito_api::{Machine, Workspace};
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use local_cluster::images::{self, MachineImage};
use local_cluster::nodes::{HOST_ADDRESS, REGISTRY_ADDRESS, REGISTRY_NAME};
use local_cluster::{ClusterOptions, NodeHost, NodeOptions, Tier, nodes};
use preset_catalog::Catalog;
use serde_json::{Value, json};
use testkit::{Helm, NAMESPACE, Program, Running, TestEnv, web};
use tokio::sync::OnceCell;

/// The time limit of every wait, sized for a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// The model of these tests.
const MODEL: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";

/// The node of the operator's own pods.
const SYSTEM_NODE: &str = "system-1";

/// The image of the GPU engine. The registry does not have it.
pub(crate) const ABSENT_IMAGE: &str = "registry.test/absent:1";

/// The image of a shell with curl.
pub(crate) const SHELL_IMAGE: &str = "registry.test/shell:1";

/// Programs of ours that run in pods.
const PROGRAMS: [&str; 6] = [
    "workspace-controller",
    "gpu-provisioner",
    "preset-registry",
    "artifact",
    "inference-server",
    "tuning-job",
];

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const TENANT: &str = "00000000-0000-0000-0000-000000000002";
const CLIENT: &str = "00000000-0000-0000-0000-000000000003";

/// The installed operator.
pub(crate) struct Installation {
    pub(crate) env: TestEnv,
    pub(crate) host: NodeHost,
    pub(crate) arm_url: String,
    _arm: Running,
    _scratch: tempfile::TempDir,
}

/// The operator on a cluster with real nodes. None, said on standard error, where there can be none.
pub(crate) async fn shared() -> Result<Option<&'static Installation>> {
    static SHARED: OnceCell<Installation> = OnceCell::const_new();
    if let Err(error) = nodes::ensure_root() {
        skipped(&error.to_string());
        return Ok(None);
    }
    SHARED.get_or_try_init(Installation::start).await.map(Some)
}

#[allow(clippy::print_stderr, reason = "a test that is skipped has to say so")]
fn skipped(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

impl Installation {
    async fn start() -> Result<Self> {
        let env = TestEnv::start(ClusterOptions::new(Tier::RealNodes)).await?;
        let scratch = tempfile::tempdir()?;
        let host = NodeHost::open(env.cluster().dir())?;
        host.boot(&NodeOptions {
            name: SYSTEM_NODE.to_owned(),
            ..NodeOptions::default()
        })?;
        let [port] = testkit::reserve_ports::<1>()?;
        let arm_url = format!("http://{HOST_ADDRESS}:{port}");
        let arm = start_cloud(&env, port)?;
        let images_dir = scratch.path().join("images");
        tokio::task::spawn_blocking(move || push_images(&images_dir)).await??;
        let model = tokio::task::spawn_blocking(|| gguf::example::smollm2(&gguf::example::cache(), &|_| {}))
            .await??;
        let hub = serve_hub(&model.dir, scratch.path())?;
        let installation = Self {
            env,
            host,
            arm_url,
            _arm: arm,
            _scratch: scratch,
        };
        installation.install(&format!("http://{hub}/hub")).await?;
        Ok(installation)
    }

    /// `helm install --wait` in a namespace that enforces Pod Security `restricted`.
    async fn install(&self, hub: &str) -> Result<()> {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels},
        });
        let namespaces: Api<Namespace> = Api::all(self.client().await?);
        namespaces
            .patch(NAMESPACE, &PatchParams::apply("user"), &Patch::Apply(&namespace))
            .await?;
        let values = self.env.cluster().dir().join("values.yaml");
        std::fs::write(&values, self.values(hub).to_string())?;
        self.helm(&["install", "kaito"], &[]).await
    }

    /// Runs `helm` with the chart and the values of this installation, and waits until all pods are ready.
    pub(crate) async fn helm(&self, command: &[&str], more: &[&str]) -> Result<()> {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("the path is not UTF-8");
        let chart = text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/kaito"))?;
        let values = text(&self.env.cluster().dir().join("values.yaml"))?;
        let rest = [
            &chart,
            "--namespace",
            NAMESPACE,
            "--values",
            &values,
            "--wait",
            "--timeout",
            "4m",
        ];
        self.helm_run(&[command, &rest, more].concat()).await
    }

    /// Runs `helm`, and describes the operator's pods if it fails.
    pub(crate) async fn helm_run(&self, args: &[&str]) -> Result<()> {
        if let Err(error) = Helm::of(&self.env).await?.run(args).await {
            return Err(error.context(self.describe(NAMESPACE).await));
        }
        Ok(())
    }

    fn values(&self, hub: &str) -> Value {
        let env = |name: &str, value: &str| json!({"name": name, "value": value});
        // What the webhook of workload identity adds on AKS. The token of the account stands for the federated one.
        let identity = [
            // The chart allows encrypted addresses only.
            env("ARM_ENDPOINT", &self.arm_url),
            env("AZURE_TENANT_ID", TENANT),
            env("AZURE_CLIENT_ID", CLIENT),
            env("AZURE_AUTHORITY_HOST", &self.arm_url),
            env(
                "AZURE_FEDERATED_TOKEN_FILE",
                "/var/run/secrets/kubernetes.io/serviceaccount/token",
            ),
        ];
        json!({
            "nodeProvisioner": "machine",
            "image": {"registry": REGISTRY_NAME, "tag": "1"},
            "workspaceImages": {"base": ABSENT_IMAGE},
            "workspaceDownloads": {"hubEndpoint": hub, "allowHttp": true, "allowHosts": [HOST_ADDRESS]},
            "workspaceController": {"replicas": 2},
            "gpuProvisioner": {
                "replicas": 2,
                "azure": {
                    "subscriptionId": SUBSCRIPTION, "resourceGroup": "local", "clusterName": "local",
                    "location": "westeurope",
                },
                "workloadIdentity": {"clientId": CLIENT},
                "drainTimeoutSeconds": 10,
                "listIntervalSeconds": 1,
                "idleListIntervalSeconds": 5,
                "extraArgs": ["--allow-insecure-endpoints"],
                "extraEnv": identity,
            },
        })
    }

    /// An administrator's client, for the runtime of the calling test.
    pub(crate) async fn client(&self) -> Result<Client> {
        self.env.client().await
    }

    /// A namespace of a user, whose pods must be `restricted`.
    pub(crate) async fn namespace(&self) -> Result<String> {
        let name = self.env.namespace().await?;
        let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let namespaces: Api<Namespace> = Api::all(self.client().await?);
        namespaces
            .patch(&name, &PatchParams::default(), &Patch::Merge(&labels))
            .await?;
        Ok(name)
    }

    /// Names of the agent pools of one Workspace.
    pub(crate) async fn pools(&self, namespace: &str, name: &str) -> Result<Vec<String>> {
        let pools = ControlClient::new(&self.arm_url)?.pools().await?.into_iter();
        let theirs = pools.filter(|pool| {
            let labels = &pool.body["properties"]["nodeLabels"];
            labels["kaito.sh/workspace"] == name && labels["kaito.sh/workspacenamespace"] == namespace
        });
        Ok(theirs.map(|pool| pool.name).collect())
    }

    /// Names of the Nodes of one Workspace.
    pub(crate) async fn nodes(&self, namespace: &str, name: &str) -> Result<Vec<String>> {
        let nodes: Api<Node> = Api::all(self.client().await?);
        let labels = format!("kaito.sh/workspace={name},kaito.sh/workspacenamespace={namespace}");
        let nodes = nodes.list(&ListParams::default().labels(&labels)).await?;
        Ok(nodes.iter().map(kube::ResourceExt::name_any).collect())
    }

    /// The containers and the claims of one Workspace: UIDs, and restarts.
    pub(crate) async fn running(&self, namespace: &str, name: &str) -> Result<Vec<(String, i32)>> {
        let client = self.client().await?;
        let labels = ListParams::default().labels(&format!("kaito.sh/workspace={name}"));
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let machines: Api<Machine> = Api::all(client);
        let uid = |uid: Option<String>| uid.unwrap_or_default();
        let mut all = Vec::new();
        for pod in pods.list(&labels).await? {
            let statuses = pod
                .status
                .iter()
                .flat_map(|status| status.container_statuses.iter().flatten());
            all.push((uid(pod.uid()), statuses.map(|status| status.restart_count).sum()));
        }
        let of_namespace = labels.labels(&format!(
            "kaito.sh/workspace={name},kaito.sh/workspacenamespace={namespace}"
        ));
        for machine in machines.list(&of_namespace).await? {
            all.push((uid(machine.uid()), 0));
        }
        ensure!(all.len() == 2, "expected one pod and one Machine: {all:?}");
        all.sort();
        Ok(all)
    }

    /// Waits until a condition of a Workspace has this status.
    pub(crate) async fn condition(
        &self,
        namespace: &str,
        name: &str,
        kind: &str,
        status: &str,
    ) -> Result<()> {
        self.until(namespace, name, &format!("{kind}={status} "))
            .await
            .map(drop)
    }

    /// Waits until a condition of a Workspace is false for this reason, and returns its message.
    pub(crate) async fn reason(
        &self,
        namespace: &str,
        name: &str,
        kind: &str,
        reason: &str,
    ) -> Result<String> {
        self.until(namespace, name, &format!("{kind}=False {reason}: "))
            .await
    }

    /// Waits until a condition of a Workspace, written as `TYPE=STATUS REASON: MESSAGE`, begins like this.
    async fn until(&self, namespace: &str, name: &str, beginning: &str) -> Result<String> {
        let workspaces: Api<Workspace> = Api::namespaced(self.client().await?, namespace);
        let waited = self
            .env
            .eventually(&format!("{beginning} of {name}"), LIMIT, async || {
                let conditions = workspaces.get(name).await?.status.unwrap_or_default().conditions;
                let mut all = conditions
                    .iter()
                    .map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message));
                let found = all.find(|condition| condition.starts_with(beginning));
                found.with_context(|| format!("{conditions:?}"))
            })
            .await;
        match waited {
            Ok(found) => Ok(found),
            Err(error) => Err(error.context(self.describe(namespace).await)),
        }
    }

    /// Deletes a Workspace and waits until no pool, Node or machine is left.
    pub(crate) async fn delete(&self, namespace: &str, name: &str) -> Result<()> {
        let workspaces: Api<Workspace> = Api::namespaced(self.client().await?, namespace);
        workspaces.delete(name, &DeleteParams::default()).await?;
        self.env
            .eventually("everything to be gone", LIMIT, async || {
                ensure!(
                    workspaces.get_opt(name).await?.is_none(),
                    "the Workspace is there"
                );
                ensure!(self.pools(namespace, name).await?.is_empty(), "a pool is there");
                ensure!(self.nodes(namespace, name).await?.is_empty(), "a Node is there");
                Ok(())
            })
            .await
    }

    /// Runs a command in a pod of the namespace, on the node of the operator, and returns what it printed.
    pub(crate) async fn in_a_pod(&self, namespace: &str, script: &str) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.client().await?, namespace);
        let pod = pods
            .create(&kube::api::PostParams::default(), &shell(script)?)
            .await?;
        let name = pod.name_any();
        self.env
            .eventually(&format!("the pod {name} to end"), LIMIT, async || {
                let status = pods.get(&name).await?.status.unwrap_or_default();
                let phase = status.phase.clone().unwrap_or_default();
                ensure!(phase == "Succeeded" || phase == "Failed", "{status:?}");
                Ok(())
            })
            .await?;
        let log = pods.logs(&name, &LogParams::default()).await?;
        pods.delete(&name, &DeleteParams::default()).await?;
        Ok(log)
    }

    /// Pods and their problems, for a failure.
    async fn describe(&self, namespace: &str) -> String {
        let Ok(client) = self.client().await else {
            return String::new();
        };
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let Ok(list) = pods.list(&ListParams::default()).await else {
            return String::new();
        };
        let mut text = String::new();
        for pod in list {
            let name = pod.name_any();
            let status = serde_json::to_string(&pod.status).unwrap_or_default();
            let log = pods
                .logs(
                    &name,
                    &LogParams {
                        tail_lines: Some(20),
                        ..LogParams::default()
                    },
                )
                .await;
            text += &format!("pod {name}: {status}\n{}\n", log.unwrap_or_default());
        }
        text
    }
}

/// A pod with bash and curl that `restricted` admits.
fn shell(script: &str) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"generateName": "user-"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "shell", "image": SHELL_IMAGE, "args": ["-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))?)
}

/// A hub with the model, on the address that pods reach.
fn serve_hub(model: &Path, scratch: &Path) -> Result<SocketAddr> {
    let catalog = Catalog::embedded()?;
    let preset = catalog.find(MODEL).context("the model has no preset")?;
    let commit = preset.revision.as_deref().context("the preset has no commit")?;
    web::serve(HOST_ADDRESS, web::hub_files(MODEL, commit, model, scratch)?)
}

/// Azure's API on the address that pods reach; its pools boot real nodes.
fn start_cloud(env: &TestEnv, port: u16) -> Result<Running> {
    Program::named("arm-server")
        .args(["--listen", &format!("{HOST_ADDRESS}:{port}")])
        .args(["--subscription", SUBSCRIPTION, "--resource-group", "local"])
        .args(["--cluster", "local", "--location", "westeurope"])
        .args(["--tenant", TENANT, "--client-id", CLIENT])
        .arg("--kubeconfig")
        .arg(env.cluster().kubeconfig())
        .arg("--real-nodes")
        .arg(env.cluster().dir())
        .env("NO_PROXY", "*")
        .start(env)
}

/// Pushes our programs and a shell to the registry of the cluster.
fn push_images(scratch: &Path) -> Result<()> {
    let test = std::env::current_exe()?;
    let built = test
        .parent()
        .and_then(Path::parent)
        .context("the test has no directory")?;
    let authorities = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
    let files = [authorities].into_iter().filter(|file| file.is_file());
    let files: Vec<_> = files
        .map(|file| (file.clone(), file.display().to_string()))
        .collect();
    let ours = PROGRAMS.map(|name| {
        let image = MachineImage {
            files: files.clone(),
            ..MachineImage::of(&built.join(name))
        };
        (name, image)
    });
    let bash = PathBuf::from("/bin/bash");
    let shell = MachineImage {
        programs: vec![
            (bash, "/bin/bash".to_owned()),
            ("/usr/bin/curl".into(), "/bin/curl".to_owned()),
        ],
        files: Vec::new(),
        entrypoint: vec!["/bin/bash".to_owned()],
    };
    for (name, image) in ours.into_iter().chain([("shell", shell)]) {
        let layout = scratch.join(name);
        image.write_to(&layout)?;
        images::push(&layout, REGISTRY_ADDRESS, name, "1")?;
    }
    Ok(())
}

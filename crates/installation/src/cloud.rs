//! Azure, played on the address that pods reach, and a hub with one model.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use local_cluster::nodes::HOST_ADDRESS;
use preset_catalog::Catalog;
use serde_json::{Value, json};
use testkit::web::{self, Clients};
use testkit::{Program, Running, TestEnv};

/// A model that needs two nodes. Its weights are played: no engine reads them.
const GROUP_PRESET: &str = "falcon-40b-instruct";
/// The head of the played repository.
const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

/// The model of the hub.
pub(crate) const MODEL: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const TENANT: &str = "00000000-0000-0000-0000-000000000002";
const CLIENT: &str = "00000000-0000-0000-0000-000000000003";

/// Starts Azure's API; its pools boot real nodes.
pub(crate) fn start(env: &TestEnv, port: u16) -> Result<Running> {
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

/// Values of the chart for gpu-provisioner at this cloud.
pub(crate) fn provisioner_values(url: &str) -> Value {
    let env = |name: &str, value: &str| json!({"name": name, "value": value});
    // What the webhook of workload identity adds on AKS. The token of the account stands for the federated one.
    let identity = [
        // The chart allows encrypted addresses only.
        env("ARM_ENDPOINT", url),
        env("AZURE_TENANT_ID", TENANT),
        env("AZURE_CLIENT_ID", CLIENT),
        env("AZURE_AUTHORITY_HOST", url),
        env(
            "AZURE_FEDERATED_TOKEN_FILE",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
        ),
    ];
    json!({
        "replicas": 2,
        "azure": {
            "subscriptionId": SUBSCRIPTION, "resourceGroup": "local", "clusterName": "local", "location": "westeurope",
        },
        "workloadIdentity": {"clientId": CLIENT},
        "drainTimeoutSeconds": 10,
        // Tests on one cluster must not wait for each other.
        "nodeDeletionPercent": 100,
        "repair": {"rules": ["Ready=Unknown:20s"]},
        "listIntervalSeconds": 1,
        "idleListIntervalSeconds": 5,
        "extraArgs": ["--allow-insecure-endpoints"],
        "extraEnv": identity,
    })
}

/// Serves the model in this directory as a hub does.
pub(crate) fn serve_hub(model: &Path, scratch: &Path) -> Result<(SocketAddr, Clients)> {
    let catalog = Catalog::embedded()?;
    let preset = catalog.find(MODEL).context("the model has no preset")?;
    let commit = preset.revision.as_deref().context("the preset has no commit")?;
    let mut files = web::hub_files(MODEL, commit, model, scratch)?;
    let group = catalog.find(GROUP_PRESET).context("the group has no preset")?;
    let commit = group.revision.as_deref().unwrap_or(HEAD);
    let directory = scratch.join("group");
    std::fs::create_dir_all(&directory)?;
    for name in ["config.json", "model.safetensors"] {
        std::fs::write(directory.join(name), "{}")?;
    }
    let about = scratch.join("about-group");
    std::fs::create_dir_all(&about)?;
    files.extend(web::hub_files(&group.hub_id, commit, &directory, &about)?);
    // A preset without a commit asks for the default branch.
    let of_main = format!("/hub/api/models/{}/revision/main", group.hub_id);
    files.insert(of_main, about.join("about.json"));
    web::serve_counted(HOST_ADDRESS, files)
}

//! The program, its definitions, its account and its instance types.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use instance_types::{Catalog, Cloud, InstanceType};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use kube::{Api, Client, ResourceExt as _};
use local_cluster::{Assets, Process, ProcessSpec, Stderr, Tool};
use serde_json::{Value, json};
use testkit::TestEnv;

const NAMESPACE: &str = "kube-system";

/// A running Karpenter. Dropping it kills it.
pub(super) struct Karpenter(Process);

impl Karpenter {
    /// Starts it with the catalog's Azure types that `has` chooses.
    pub(super) async fn start(env: &TestEnv, has: impl Fn(&str) -> bool) -> Result<Self> {
        let tools = [Tool::Karpenter, Tool::KarpenterDefinitions];
        let assets = tokio::task::spawn_blocking(move || Assets::obtain(&tools, &Stderr)).await??;
        let client = env.client().await?;
        define(&client, assets.path(Tool::KarpenterDefinitions)?).await?;
        let kubeconfig = env.service_account_kubeconfig(NAMESPACE, "karpenter").await?;
        administrator(&client).await?;
        let types = env.cluster().dir().join("karpenter-types.json");
        std::fs::write(&types, instance_types_file(has)?)?;
        let spec = ProcessSpec::new("karpenter", assets.path(Tool::Karpenter)?)
            .env("KUBECONFIG", kubeconfig)
            .env("SYSTEM_NAMESPACE", NAMESPACE)
            .env("DISABLE_LEADER_ELECTION", "true")
            .env("INSTANCE_TYPES_FILE_PATH", types)
            // Any free ports.
            .env("METRICS_PORT", "0")
            .env("HEALTH_PROBE_PORT", "0");
        Ok(Self(env.cluster().spawn(&spec)?))
    }

    /// Everything that it wrote.
    pub(super) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.0.log())?).into_owned())
    }
}

/// Installs the definitions of its own module.
async fn define(client: &Client, program: &Path) -> Result<()> {
    let output = tokio::process::Command::new(program).output().await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let all: Vec<CustomResourceDefinition> = serde_json::from_slice(&output.stdout)?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in &all {
        let name = definition.name_any();
        let definition = CustomResourceDefinition {
            status: None,
            ..definition.clone()
        };
        api.patch(
            &name,
            &PatchParams::apply("karpenter"),
            &Patch::Apply(&definition),
        )
        .await
        .with_context(|| format!("failed to apply {name}"))?;
        await_condition(api.clone(), &name, is_crd_established()).await?;
    }
    Ok(())
}

/// Lets its account do everything, under a name of its own.
async fn administrator(client: &Client) -> Result<()> {
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "karpenter"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": NAMESPACE, "name": "karpenter"}],
    }))?;
    Api::all(client.clone())
        .create(&PostParams::default(), &binding)
        .await?;
    Ok(())
}

/// The catalog as Karpenter's KWOK provider reads it. Spot costs a third of on-demand.
fn instance_types_file(has: impl Fn(&str) -> bool) -> Result<String> {
    let catalog = Catalog::embedded().map_err(|error| anyhow::anyhow!("{error}"))?;
    let all: Vec<Value> = catalog
        .of(Cloud::Azure)
        .filter(|instance_type| has(&instance_type.name))
        .filter_map(instance_type)
        .collect();
    ensure!(!all.is_empty(), "no instance type has all numbers");
    Ok(serde_json::to_string(&all)?)
}

/// One type; `None` if the catalog does not know its size or price.
fn instance_type(one: &InstanceType) -> Option<Value> {
    let micros = u32::try_from(one.list_price.as_ref()?.usd_micros_per_hour).ok()?;
    let offering = |capacity_type: &str, micros: u32| {
        json!({
            "Price": f64::from(micros) / 1e6, "Available": true,
            "Requirements": [
                {"key": "karpenter.sh/capacity-type", "operator": "In", "values": [capacity_type]},
                {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["eastus2-1"]},
            ],
        })
    };
    let mut resources = json!({
        "cpu": one.vcpus?.to_string(), "memory": format!("{}Gi", one.memory_gib?),
        "ephemeral-storage": "1Ti", "pods": "110",
    });
    if one.nvidia_gpus() > 0 {
        resources["nvidia.com/gpu"] = one.nvidia_gpus().to_string().into();
    }
    Some(json!({
        "name": one.name, "architecture": "amd64", "operatingSystems": ["linux"], "resources": resources,
        "offerings": [offering("on-demand", micros), offering("spot", micros / 3)],
    }))
}

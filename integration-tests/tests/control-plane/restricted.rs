//! Every pod that the operator creates is accepted in a namespace that enforces Pod Security `restricted`.
//!
//! The corpus has one Workspace for each preset of the catalog, and more for adapters, settings and tunings. The shipped
//! planner renders their objects, and a real API server checks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use instance_types::Cloud;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod, PodTemplateSpec, ServiceAccount};
use kaito_api::{Claim, Machine};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use plan::{Manifest, Write};
use preset_catalog::{Catalog, EngineImage, Preset};
use serde_json::{Value, json};
use testkit::TestEnv;
use workspace_plan::{Observed, PresetLookup, ProvisionerMode, Settings, Workloads};

use crate::world::LIMIT;

/// Instance types to try, from small to large.
const INSTANCE_TYPES: [&str; 5] = [
    "Standard_D8s_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_NC96ads_A100_v4",
    "Standard_ND96isr_H100_v5",
    "Standard_ND96isr_H200_v5",
];

#[tokio::test]
async fn every_pod_passes_pod_security_restricted() -> Result<()> {
    let env = TestEnv::shared_with_nodes().await?;
    let client = env.client().await?;
    let namespace = env.namespace().await?;
    enforce_restricted(env, &client, &namespace).await?;
    let server = Server { client, namespace };
    let refused = server.create_pod("privileged", &privileged()).await;
    let words = refused
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    ensure!(
        words.contains("violates PodSecurity"),
        "the namespace enforces nothing: {words}"
    );
    let corpus = corpus(&server.namespace)?;
    let mut pods = 0;
    for (name, workspace, preset) in &corpus {
        let manifests = manifests(workspace, preset).with_context(|| name.clone())?;
        for manifest in &manifests {
            server.accepts(manifest).await.with_context(|| name.clone())?;
            if let Some(template) = template(manifest) {
                server
                    .create_pod("w-0", &template)
                    .await
                    .with_context(|| name.clone())?;
                pods += 1;
            }
        }
    }
    ensure!(
        corpus.len() >= 40 && pods == corpus.len(),
        "{pods} pods of {} Workspaces",
        corpus.len()
    );
    println!("{pods} pods pass Pod Security restricted");
    Ok(())
}

async fn enforce_restricted(env: &TestEnv, client: &Client, namespace: &str) -> Result<()> {
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .patch(namespace, &PatchParams::default(), &Patch::Merge(label))
        .await?;
    // Pods are refused until the controller manager has made the account that they run as.
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    env.eventually("the default ServiceAccount", LIMIT, async || {
        accounts.get("default").await.map(drop).context("no account yet")
    })
    .await
}

fn privileged() -> PodTemplateSpec {
    let container = json!({"name": "c", "image": "i", "securityContext": {"privileged": true}});
    serde_json::from_value(json!({"spec": {"containers": [container]}})).unwrap()
}

/// A namespace of a real API server. Nothing is stored.
struct Server {
    client: Client,
    namespace: String,
}

impl Server {
    async fn create_pod(&self, name: &str, template: &PodTemplateSpec) -> Result<()> {
        let mut metadata = template.metadata.clone().unwrap_or_default();
        metadata.name = Some(name.to_owned());
        let pod = Pod {
            metadata,
            spec: template.spec.clone(),
            status: None,
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        pods.create(&parameters, &pod)
            .await
            .map(drop)
            .context("the pod is refused")
    }

    async fn accepts(&self, manifest: &Manifest) -> Result<()> {
        let (kind, target) = (manifest.kind(), manifest.target());
        let (group, version) = kind
            .api_version()
            .split_once('/')
            .unwrap_or(("", kind.api_version()));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.as_str()));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let parameters = PatchParams {
            dry_run: true,
            ..PatchParams::apply("test").force()
        };
        let applied = api
            .patch(&target.name, &parameters, &Patch::Apply(manifest.to_value()))
            .await;
        applied
            .map(drop)
            .with_context(|| format!("{} {} is refused", kind.as_str(), target.name))
    }
}

fn template(manifest: &Manifest) -> Option<PodTemplateSpec> {
    match manifest {
        Manifest::Deployment(object) => Some(object.spec.template.clone()),
        Manifest::StatefulSet(object) => Some(object.spec.template.clone()),
        Manifest::Job(object) => object.spec.as_ref().map(|spec| spec.template.clone()),
        _ => None,
    }
}

type Case = (String, Value, Arc<Preset>);

/// One Workspace for each preset, and more for everything that adds containers or volumes.
fn corpus(namespace: &str) -> Result<Vec<Case>> {
    let catalog = Catalog::embedded()?;
    let mut all = Vec::new();
    let mut add = |name: String, preset: &Preset, section: Value| {
        let workspace = workspace(namespace, &section);
        all.push((name, workspace, Arc::new(preset.clone())));
    };
    let served = catalog.iter().filter(|preset| preset.inference.is_some());
    for preset in served {
        let section = json!({"inference": {"preset": {"name": preset.name, "presetOptions": {"modelAccessSecret": "hub"}}}});
        add(format!("serve {}", preset.name), preset, section);
    }
    for name in ["phi-4-mini-instruct", "smollm2-135m-instruct"] {
        let preset = catalog.find(name).with_context(|| name.to_owned())?;
        for (what, section) in variants(name) {
            add(format!("{what} of {name}"), preset, section);
        }
    }
    for preset in catalog.iter().filter(|preset| preset.tuning.is_some()) {
        for (what, section) in tunings(&preset.name) {
            add(format!("tune {} {what}", preset.name), preset, section);
        }
    }
    for name in ["phi-4-mini-instruct", "smollm2-135m-instruct"] {
        let preset = catalog.find(name).with_context(|| name.to_owned())?;
        let mut stored = workspace(namespace, &json!({"inference": {"preset": {"name": name}}}));
        stored["metadata"]["annotations"] = json!({"kaito.sh/weights-image": "r.io/weights:1"});
        all.push((
            format!("weights image of {name}"),
            stored,
            Arc::new(preset.clone()),
        ));
    }
    Ok(all)
}

fn variants(preset: &str) -> Vec<(&'static str, Value)> {
    let with = |fields: Value| {
        let mut inference = json!({"preset": {"name": preset}});
        inference
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!({"inference": inference})
    };
    let image = json!({"name": "tone", "image": "r.io/tone:1", "imagePullSecrets": ["pull"]});
    let volume = json!({"persistentVolumeClaim": {"claimName": "data"}});
    vec![
        ("adapter image", with(json!({"adapters": [{"source": image}]}))),
        (
            "adapter volume",
            with(json!({"adapters": [{"source": {"name": "tone", "volumeSource": volume}}]})),
        ),
        (
            "options",
            with(json!({"preset": {"name": preset, "presetOptions": {
                "image": "r.io/server:1", "imagePullSecrets": ["pull"], "modelAccessSecret": "hub",
            }}})),
        ),
    ]
}

fn tunings(preset: &str) -> Vec<(&'static str, Value)> {
    let of = |input: Value, output: Value| json!({"tuning": {"preset": {"name": preset}, "method": "lora", "input": input, "output": output}});
    let volume = || json!({"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}});
    vec![
        (
            "from a URL to an image",
            of(
                json!({"urls": ["https://example.com/data.parquet"]}),
                json!({"image": "r.io/out:1", "imagePushSecret": "push"}),
            ),
        ),
        (
            "from an image to a volume",
            of(
                json!({"image": "r.io/in:1", "imagePullSecrets": ["pull"]}),
                volume(),
            ),
        ),
        ("from a volume to a volume", of(volume(), volume())),
    ]
}

fn workspace(namespace: &str, section: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
        "metadata": {"name": "w", "namespace": namespace, "uid": "5f3b2c1a-0000-4000-8000-000000000001",
            "generation": 1, "resourceVersion": "1", "finalizers": [kaito_api::labels::WORKSPACE_FINALIZER]},
        "resource": {"count": 1, "instanceType": "", "labelSelector": {"matchLabels": {"apps": "w"}}},
    });
    object
        .as_object_mut()
        .unwrap()
        .extend(section.as_object().unwrap().clone());
    object
}

/// Everything that the operator applies in the namespace, on the first instance type that the planner accepts.
fn manifests(workspace: &Value, preset: &Arc<Preset>) -> Result<Vec<Manifest>> {
    let mut rejections = BTreeSet::new();
    for instance_type in INSTANCE_TYPES {
        let mut workspace = workspace.clone();
        workspace["resource"]["instanceType"] = instance_type.into();
        let mut observed = observed(&workspace, preset)?;
        let machines: Vec<Machine> = applied(&observed).into_iter().filter_map(machine).collect();
        if machines.is_empty() {
            rejections.insert(format!("{:?}", plan(&observed).reasons));
            continue;
        }
        let known = instance_types::Catalog::embedded()?.lookup(Cloud::Azure, instance_type);
        let gpus = known.map_or(0, |known| render::Hardware::from(known).gpu.gpus);
        for machine in machines {
            let (claim, node) = joined(&machine, gpus)?;
            observed.claims.push(claim);
            observed.nodes.push(Arc::new(node));
        }
        let namespaced = |manifest: &Manifest| manifest.target().namespace.is_some();
        return Ok(applied(&observed).into_iter().filter(namespaced).collect());
    }
    bail!("no instance type suits: {rejections:?}")
}

fn observed(workspace: &Value, preset: &Arc<Preset>) -> Result<Observed> {
    Ok(Observed {
        revisions: Vec::new(),
        workspace: Arc::new(serde_json::from_value(workspace.clone())?),
        preset: PresetLookup::Found(Arc::clone(preset)),
        model_source: Default::default(),
        claims: Vec::new(),
        same_named: Vec::new(),
        grant: workspace_plan::Grant::Granted,
        turn: workspace_plan::Turn::None,
        launch_backoffs: BTreeMap::new(),
        unavailable: Vec::new(),
        capacity: None,
        nodes: Vec::new(),
        workloads: Workloads::default(),
        pods: Vec::new(),
        config: workspace_plan::ConfigLookup::NotNeeded,
        warnings: Vec::new(),
        weights_claims: Vec::new(),
    })
}

fn plan(observed: &Observed) -> plan::Plan {
    let settings = Settings {
        mode: ProvisionerMode::Machine,
        node_claims: render::NodeClaimOptions::default(),
        offerings: Default::default(),
        cloud: Cloud::Azure,
        instance_types: instance_types::Catalog::embedded().unwrap().clone().into(),
        tuning_node_retention: Default::default(),
        // Presets that the default image cannot serve have pods with other images.
        engine: EngineImage::KAITO_BASE.stated(None, Some(true)),
        retired_types: Default::default(),
        upgrades: Default::default(),
        ceilings: Default::default(),
        max_nodes: workspace_plan::NodeLimit::default(),
        node_image_family: "ubuntu".to_owned(),
        images: render::Images::of_registry("registry.example.com/kaito", "0.1.0"),
        downloads: render::Downloads::default(),
        serving: Default::default(),
        outgoing: render::Outgoing::default(),
        image_volumes: true,
        isolation: render::Isolation::default(),
    };
    workspace_plan::plan(Timestamp::UNIX_EPOCH, observed, &settings)
}

fn applied(observed: &Observed) -> Vec<Manifest> {
    let writes = plan(observed).writes.into_iter();
    writes
        .filter_map(|write| match write {
            Write::Apply(manifest) => Some(*manifest),
            _ => None,
        })
        .collect()
}

fn machine(manifest: Manifest) -> Option<Machine> {
    match manifest {
        Manifest::Machine(machine) => Some(machine),
        _ => None,
    }
}

/// The Machine when its Node has joined, and that Node.
fn joined(machine: &Machine, gpus: u32) -> Result<(Claim, k8s_openapi::api::core::v1::Node)> {
    let name = machine.metadata.name.clone().context("no name")?;
    let mut value = serde_json::to_value(machine)?;
    let conditions = [
        "MachineLaunched",
        "MachineRegistered",
        "MachineInitialized",
        "Ready",
    ];
    value["metadata"]["uid"] = format!("uid-of-{name}").into();
    value["status"] = json!({
        "nodeName": format!("aks-{name}"),
        "conditions": conditions.map(|kind| json!({"type": kind, "status": "True"})),
    });
    let node = json!({
        "metadata": {"name": format!("aks-{name}"), "uid": format!("uid-of-aks-{name}"), "labels": machine.metadata.labels},
        "status": {
            "allocatable": {"cpu": "8", "nvidia.com/gpu": gpus.to_string()},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    let machine: Machine = serde_json::from_value(value)?;
    Ok((machine.into(), serde_json::from_value(node)?))
}

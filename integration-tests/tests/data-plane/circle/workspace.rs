//! The objects that the operator renders for a Workspace on one node without GPU that the user brought.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;
use kaito_api::{Workspace, labels};
use plan::{Manifest, Write};
use preset_catalog::Catalog;
use render::{Downloads, Images, NodeClaimOptions};
use serde_json::{Value, json};
use workspace_plan::{Observed, PresetLookup, ProvisionerMode, Settings, Workloads};

/// An installation.
pub(crate) fn settings(downloads: Downloads) -> Settings {
    Settings {
        mode: ProvisionerMode::Byo,
        node_claims: NodeClaimOptions::default(),
        offerings: Default::default(),
        cloud: instance_types::Cloud::Azure,
        instance_types: instance_types::Catalog::embedded().unwrap().clone().into(),
        tuning_node_retention: Default::default(),
        engine: Default::default(),
        retired_types: Default::default(),
        upgrades: Default::default(),
        ceilings: Default::default(),
        max_nodes: workspace_plan::NodeLimit::default(),
        node_image_family: "ubuntu".to_owned(),
        images: Images::of_registry("registry.example.com/kaito", "0.1.0"),
        downloads,
        serving: render::Serving::default(),
        outgoing: render::Outgoing::default(),
        image_volumes: true,
        isolation: render::Isolation::default(),
    }
}

/// A Workspace for the small preset, with this section.
pub(crate) fn workspace(name: &str, section: &str, content: &Value) -> Workspace {
    let mut object = json!({
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": "team", "uid": "u1", "generation": 1,
            "finalizers": [labels::WORKSPACE_FINALIZER]},
        "resource": {"labelSelector": {"matchLabels": {"apps": "small"}}},
    });
    object[section] = content.clone();
    object[section]["preset"]["name"] = json!("smollm2-135m-instruct");
    serde_json::from_value(object).unwrap()
}

/// Everything that the operator applies.
pub(crate) fn applied(workspace: Workspace, settings: &Settings) -> Vec<Manifest> {
    let preset = Catalog::embedded()
        .unwrap()
        .find("smollm2-135m-instruct")
        .unwrap()
        .clone();
    let node = json!({
        "metadata": {"name": "n", "uid": "u2", "labels": {"apps": "small"}},
        "status": {"allocatable": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let observed = Observed {
        workspace: Arc::new(workspace),
        preset: PresetLookup::Found(Arc::new(preset)),
        model_source: Default::default(),
        claims: Vec::new(),
        same_named: Vec::new(),
        grant: workspace_plan::Grant::Granted,
        turn: workspace_plan::Turn::None,
        launch_backoffs: BTreeMap::new(),
        unavailable: Vec::new(),
        capacity: None,
        nodes: vec![Arc::new(serde_json::from_value(node).unwrap())],
        workloads: Workloads::default(),
        revisions: Vec::new(),
        pods: Vec::new(),
        config: workspace_plan::ConfigLookup::NotNeeded,
        warnings: Vec::new(),
        weights_claims: Vec::new(),
    };
    let plan = workspace_plan::plan(Timestamp::UNIX_EPOCH, &observed, settings);
    assert_eq!(plan_check::check(&plan), [], "{:?}", plan.status);
    let writes = plan.writes.into_iter().map(|write| match write {
        Write::Apply(manifest) => *manifest,
        other => panic!("{other:?}"),
    });
    writes.collect()
}

/// The pod of the workload among them.
pub(crate) fn pod(applied: &[Manifest]) -> PodSpec {
    let mut specs = applied.iter().filter_map(|manifest| match manifest {
        Manifest::Deployment(deployment) => deployment.spec.template.spec.clone(),
        Manifest::Job(job) => job.spec.as_ref()?.template.spec.clone(),
        _ => None,
    });
    specs.next().expect("a workload")
}

//! Objects and settings for tests.

use cloudprovider::Instance;
use cloudprovider::InstanceState;
use instance_types::{Catalog, Cloud};
use kaito_api::labels;
use serde_json::{Value, json};
use workspace_plan::ProvisionerMode;

use crate::cloud::Pace;
use crate::kubelet::PodPace;
use crate::reservation;
use crate::world::Setup;

/// An instance type with one GPU that the small presets fit.
pub const INSTANCE_TYPE: &str = "Standard_NC24ads_A100_v4";
/// A preset for one node.
pub(crate) const SMALL_PRESET: &str = "phi-3-mini-4k-instruct";
/// A preset that needs two nodes of [`INSTANCE_TYPE`].
pub(crate) const LARGE_PRESET: &str = "llama-3.3-70b-instruct";
/// Most nodes of [`INSTANCE_TYPE`] that the large preset may take.
pub(crate) const LARGE_SLOTS: usize = 3;

/// Returns settings of a world with this seed, in which everything takes its usual time.
#[must_use]
pub fn setup(seed: u64) -> Setup {
    Setup {
        seed,
        pace: Pace::default(),
        pods: PodPace::default(),
        workspaces: workspace_plan::Settings {
            mode: ProvisionerMode::Machine,
            node_claims: Default::default(),
            offerings: Default::default(),
            cloud: Cloud::Azure,
            instance_types: Catalog::embedded().cloned().unwrap_or_default().into(),
            tuning_node_retention: Default::default(),
            engine: Default::default(),
            retired_types: Default::default(),
            ceilings: Default::default(),
            upgrades: Default::default(),
            max_nodes: Default::default(),
            node_image_family: "ubuntu".to_owned(),
            images: render::Images::of_registry("registry.example.com/kaito", "0.1.0"),
            downloads: Default::default(),
            outgoing: Default::default(),
            serving: Default::default(),
            image_volumes: true,
            isolation: Default::default(),
        },
        provisioner: nodeclaim_plan::Settings {
            repair_rules: nodeclaim_plan::RepairRules::DEFAULT.parse().unwrap_or_default(),
            spot_marks: cloudprovider::SpotMarks {
                labels: &[(labels::AKS_SPOT, "spot")],
                notices: &[(crate::kubelet::faults::PREEMPTION, "")],
                taints: &[],
            },
            ..nodeclaim_plan::Settings::default()
        },
        limits: None,
        skew: jiff::SignedDuration::ZERO,
        waits_for_own_writes: true,
    }
}

/// Lets the world's Karpenter serve the claims of Workspaces.
pub fn use_karpenter(setup: &mut Setup) {
    let [group, kind, name] = crate::kubelet::karpenter::CLASS.map(str::to_owned);
    setup.workspaces.mode = ProvisionerMode::NodeClaim;
    setup.workspaces.node_claims.class = kaito_api::NodeClassRef { group, kind, name };
}

/// Lets gpu-provisioner buy reserved capacity for the claims of Workspaces.
pub(crate) fn use_reservation(setup: &mut Setup) {
    setup.provisioner.machine_class = reservation::CLASS.to_owned();
    if setup.workspaces.node_claims.class.is_kaito() {
        setup.workspaces.node_claims.class.name = reservation::CLASS.to_owned();
    }
}

/// Returns a Workspace that serves a preset.
#[must_use]
pub fn inference(name: &str, preset: &str, count: u32) -> Value {
    json!({
        "metadata": {"annotations": {"example.com/note": "kept"}},
        "resource": {
            "count": count, "instanceType": INSTANCE_TYPE,
            "labelSelector": {"matchLabels": {"apps": name}},
            "futureField": "kept",
        },
        // The large preset is gated.
        "inference": {"preset": {"name": preset, "presetOptions": {"modelAccessSecret": "hub"}}},
    })
}

/// Name of the ConfigMap of [`configured`].
pub const CONFIG: &str = "settings";

/// Returns a Workspace that serves a preset with the settings of a ConfigMap.
#[must_use]
pub fn configured(name: &str, preset: &str, count: u32) -> Value {
    let mut value = inference(name, preset, count);
    value["inference"]["config"] = json!(CONFIG);
    value
}

/// Returns a ConfigMap with settings of an engine.
#[must_use]
pub fn config_map(text: &str) -> Value {
    json!({"data": {preset_catalog::engine_config::INFERENCE_CONFIG_KEY: text}})
}

/// Returns a Workspace that serves a user's own pod template.
#[must_use]
pub fn template(name: &str, count: u32) -> Value {
    // The template is used unchanged, so it follows the rules of the checker of plans itself.
    let pod = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "server",
                "image": "example.com/server:1",
                "resources": {"limits": {"nvidia.com/gpu": "1"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let mut value = inference(name, "", count);
    value["inference"] = json!({ "template": pod });
    value
}

/// Returns a Workspace that tunes a preset.
#[must_use]
pub fn tuning(name: &str) -> Value {
    let mut value = inference(name, "", 1);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("inference");
    }
    value["tuning"] = json!({
        "preset": {"name": SMALL_PRESET},
        "method": "qlora",
        "input": {"urls": ["https://example.com/data.parquet"]},
        "output": {"image": "example.com/adapter:1", "imagePushSecret": "push"},
    });
    value
}

/// Returns a Machine as the controller creates it for a Workspace of this UID.
#[must_use]
pub fn machine(workspace: &str, uid: &str, ordinal: u32) -> Value {
    json!({
        "metadata": {
            "labels": {
                labels::WORKSPACE: workspace,
                labels::WORKSPACE_NAMESPACE: "default",
                labels::WORKSPACE_UID: uid,
                labels::ORDINAL: ordinal.to_string(),
                labels::PROVISIONER_NAME: labels::PROVISIONER_DEFAULT,
            },
            "annotations": {"example.com/note": "kept"},
        },
        "spec": {
            "requirements": [
                {"key": labels::INSTANCE_TYPE, "operator": "In", "values": [INSTANCE_TYPE]},
                {"key": labels::OS, "operator": "In", "values": ["linux"]},
            ],
            "resources": {"requests": {"storage": "100Gi", labels::NVIDIA_GPU: "1"}},
            "taints": [{"key": labels::GPU_TAINT, "value": labels::GPU_TAINT_VALUE, "effect": "NoSchedule"}],
            "futureField": "kept",
        },
    })
}

/// Returns the same claim as a NodeClaim of our class.
#[must_use]
pub fn node_claim(workspace: &str, uid: &str, ordinal: u32) -> Value {
    let mut value = machine(workspace, uid, ordinal);
    value["spec"]["nodeClassRef"] = json!({"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"});
    value
}

/// Returns a pool of another owner.
#[must_use]
pub fn foreign_pool(name: &str) -> Instance {
    Instance {
        name: name.to_owned(),
        instance_type: Some("Standard_D4s_v5".to_owned()),
        state: InstanceState::Succeeded,
        ..Instance::default()
    }
}

/// Returns objects of other owners.
#[must_use]
pub(crate) fn foreign_objects() -> Vec<(plan::ObjectRef, Value)> {
    use crate::api_server::key;
    use plan::Kind;
    let pod =
        json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}});
    vec![
        (
            key(Kind::ConfigMap, "default", "theirs"),
            json!({"data": {"a": "1"}}),
        ),
        (
            key(Kind::Deployment, "default", "theirs"),
            json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": pod}}),
        ),
        (
            key(Kind::Machine, "", "theirs"),
            json!({"spec": {"requirements": []}}),
        ),
        // A Karpenter in the same cluster serves this claim of another Workspace.
        (
            key(Kind::NodeClaim, "", "theirs"),
            json!({
                "metadata": {"labels": {labels::WORKSPACE: "elsewhere"}, "finalizers": [labels::TERMINATION_FINALIZER]},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"},
                    "requirements": [],
                },
            }),
        ),
        (
            key(Kind::Node, "", "karpenters"),
            json!({
                "metadata": {
                    "labels": {labels::WORKSPACE: "elsewhere", "karpenter.azure.com/aksnodeclass": "default"},
                    "finalizers": [labels::TERMINATION_FINALIZER],
                    "ownerReferences": [{
                        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "gone", "uid": "uid-of-a-claim",
                        "blockOwnerDeletion": true,
                    }],
                },
                "spec": {"providerID": "azure:///karpenters"},
            }),
        ),
        (
            key(Kind::Node, "", "theirs"),
            json!({"metadata": {"labels": {"agentpool": "system"}}, "spec": {"providerID": "azure:///theirs"}}),
        ),
    ]
}

//! Objects as upstream KAITO 0.12 and its gpu-provisioner 0.4 write them, with nothing of ours.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::World;

pub(crate) const OWNER_KEYS: [&str; 2] = ["kaito.sh/workspace", "kaito.sh/workspacenamespace"];
pub(crate) const RAG_KEYS: [&str; 2] = ["kaito.sh/ragengine", "kaito.sh/ragenginenamespace"];
const INSTANCE_TYPE: &str = "Standard_NC24ads_A100_v4";
const HASH: &str = "6d1f4e0c9b2a7835e4d6f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0";
/// Subscription, resource group and cluster of the test's cloud.
const CLUSTER: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/local/providers/\
                       Microsoft.ContainerService/managedClusters/local";
const TENANT: &str = "00000000-0000-0000-0000-000000000002";
const CLIENT: &str = "00000000-0000-0000-0000-000000000003";

/// One NodeClaim of upstream, and what it makes of it.
pub(crate) struct Claim<'a> {
    pub(crate) name: &'a str,
    /// Keys of the labels that name the owner and its namespace.
    pub(crate) keys: [&'a str; 2],
    pub(crate) owner: [&'a str; 2],
}

impl Claim<'_> {
    fn labels(&self) -> Value {
        let mut labels = json!({"karpenter.sh/nodepool": "kaito", "apps": self.owner[0]});
        for (key, value) in self.keys.into_iter().zip(self.owner) {
            labels[key] = value.into();
        }
        labels
    }

    pub(crate) fn object(&self) -> Value {
        json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": {
                "name": self.name, "labels": self.labels(), "finalizers": ["karpenter.sh/termination"],
                "annotations": {"karpenter.sh/do-not-disrupt": "true", "kaito.sh/node-image-family": "ubuntu"},
            },
            "spec": {
                "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
                "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
                "requirements": [
                    {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["kaito"]},
                    {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [INSTANCE_TYPE]},
                    {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                    {"key": "karpenter.azure.com/sku-name", "operator": "In", "values": [INSTANCE_TYPE]},
                ],
                "resources": {"requests": {"storage": "70Gi"}},
            },
        })
    }

    fn pool(&self) -> Value {
        let mut labels = self.labels();
        labels["kaito.sh/machine-type"] = "gpu".into();
        labels["kaito.sh/creation-timestamp"] = "2026-01-02T03-04-05Z".into();
        json!({"properties": {
            "count": 1, "nodeLabels": labels, "nodeTaints": ["sku=gpu:NoSchedule"], "osDiskSizeGB": 70, "osSKU": "Ubuntu",
            "osType": "Linux", "type": "VirtualMachineScaleSets", "vmSize": INSTANCE_TYPE,
        }})
    }

    /// Fields that the registration and KAITO add to the Node.
    pub(crate) fn on_node(&self, uid: &str) -> Value {
        json!({"metadata": {
            "finalizers": ["karpenter.sh/termination"],
            "labels": {"karpenter.sh/registered": "true", "karpenter.sh/initialized": "true", "accelerator": "nvidia"},
            "annotations": {"karpenter.sh/do-not-disrupt": "true", "kaito.sh/node-image-family": "ubuntu"},
            "ownerReferences": [{
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": self.name, "uid": uid,
                "blockOwnerDeletion": true,
            }],
        }})
    }
}

/// The status of a claim whose Node is initialized.
pub(crate) fn claim_status(node: &str, provider_id: &str) -> Value {
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": kind, "message": "", "observedGeneration": 1,
               "lastTransitionTime": "2026-01-02T03:10:00Z"})
    };
    let conditions = ["Launched", "Registered", "Initialized", "Ready"].map(condition);
    json!({"status": {
        "nodeName": node, "providerID": provider_id, "imageID": "", "conditions": conditions,
        "capacity": {"nvidia.com/gpu": "1"}, "allocatable": {"nvidia.com/gpu": "1"},
    }})
}

pub(crate) fn workspace(name: &str) -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
        "metadata": {
            "name": name, "finalizers": ["workspace.finalizer.kaito.sh"],
            "annotations": {"workspace.kaito.io/hash": HASH, "workspace.kaito.io/revision": "1"},
        },
        "resource": {"count": 1, "instanceType": INSTANCE_TYPE, "labelSelector": {"matchLabels": {"apps": name}}},
        "inference": {"preset": {"name": "phi-4-mini-instruct"}},
    })
}

pub(crate) fn revision_name(workspace: &str) -> String {
    format!("{workspace}-{}", &HASH[..5])
}

/// Everything that the Workspace owns: its revision, Services and the StatefulSet that serves.
pub(crate) fn serving(name: &str, namespace: &str, uid: &str) -> [Value; 4] {
    let owner = json!([{
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": name, "uid": uid, "controller": true,
        "blockOwnerDeletion": true,
    }]);
    let labels = json!({"kaito.sh/workspace": name});
    let headless = format!("{name}-headless");
    [
        json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "data": {"inference": {}, "resource": {}},
            "metadata": {"name": revision_name(name), "ownerReferences": owner,
                "labels": {"workspace.kaito.io/name": name}, "annotations": {"workspace.kaito.io/hash": HASH}},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "ownerReferences": owner},
            "spec": {
                "selector": {"kaito.sh/workspace": name, "statefulset.kubernetes.io/pod-name": format!("{name}-0")},
                "publishNotReadyAddresses": true,
                "ports": [
                    {"name": "http", "port": 80, "targetPort": 5000}, {"name": "ray", "port": 6379, "targetPort": 6379},
                    {"name": "dashboard", "port": 8265, "targetPort": 8265},
                    {"name": "kv-events", "port": 5557, "targetPort": 5557},
                ],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": headless, "ownerReferences": owner},
            "spec": {"clusterIP": "None", "selector": labels, "publishNotReadyAddresses": true},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": name, "ownerReferences": owner, "annotations": {"workspace.kaito.io/revision": "1"}},
            "spec": {
                "replicas": 1, "podManagementPolicy": "Parallel", "serviceName": headless,
                "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Retain", "whenDeleted": "Delete"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod(name, namespace)},
            },
        }),
    ]
}

fn pod(name: &str, namespace: &str) -> Value {
    let one_of = |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
    json!({
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [
                one_of("apps", name), one_of(OWNER_KEYS[0], name), one_of(OWNER_KEYS[1], namespace),
            ]},
        ]}}},
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
            {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
        ],
        "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}],
        "containers": [{
            "name": name, "image": "mcr.microsoft.com/aks/kaito/kaito-base:0.5.0",
            "command": ["/bin/sh", "-c", "python3 /workspace/vllm/inference_api.py --tensor-parallel-size=1"],
            "ports": [{"name": "http", "containerPort": 5000}, {"name": "kv-events", "containerPort": 5557}],
            "resources": {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}},
            "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}],
        }],
    })
}

/// Sends the request of upstream's provisioner for the pool of a claim.
pub(crate) async fn put_pool(world: &World, claim: &Claim<'_>) -> Result<()> {
    let form = format!(
        "grant_type=client_credentials&client_id={CLIENT}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default&\
         client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&\
         client_assertion=a-projected-service-account-token"
    );
    let kind = "content-type: application/x-www-form-urlencoded";
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let (status, answer) = send(world, "POST", &path, kind, &form).await?;
    ensure!(status == 200, "{status} {answer}");
    let answer: Value = serde_json::from_str(&answer)?;
    let token = answer["access_token"].as_str().context("no token")?;
    let path = format!("{CLUSTER}/agentPools/{}?api-version=2024-01-01", claim.name);
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json");
    let (status, answer) = send(world, "PUT", &path, &headers, &claim.pool().to_string()).await?;
    ensure!(status == 201, "{status} {answer}");
    Ok(())
}

async fn send(world: &World, method: &str, path: &str, headers: &str, body: &str) -> Result<(u16, String)> {
    let host = world.arm.strip_prefix("http://").context("no host")?;
    let mut stream = TcpStream::connect(host).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let status = text.split(' ').nth(1).context("no status")?.parse()?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    Ok((status, body.unwrap_or_default()))
}

//! A real node: boots, runs a pod under Pod Security `restricted`, and leaves nothing when it dies.

use std::path::Path;
use std::process::Command;

use local_cluster::images::{self, MachineImage};
use local_cluster::nodes::{self, REGISTRY_ADDRESS};
use local_cluster::{Cluster, ClusterOptions, NodeHost, NodeOptions, NodeTaint, Stderr, Tier};
use serde_json::json;

use super::{at_hand, get, send, skipped, wait_for};

const NODE: &str = "node-a";

fn create(cluster: &Cluster, path: &str, object: &serde_json::Value) {
    let (status, answer) = send(cluster, path, Some(&object.to_string()));
    assert_eq!(status, 201, "{answer}");
}

/// A shell with its libraries, in the registry of the cluster.
fn push_shell() {
    let layout = tempfile::tempdir().unwrap();
    let image = MachineImage::of(Path::new("/bin/bash"));
    image.write_to(layout.path()).unwrap();
    images::push(layout.path(), REGISTRY_ADDRESS, "shell", "1").unwrap();
}

/// A pod that `restricted` admits.
fn pod(name: &str, script: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "tolerations": [{"key": "sku", "operator": "Exists"}],
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "main", "image": "registry.test/shell:1", "args": ["-c", script],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}
                },
            }],
        },
    })
}

/// Everything that nodes could leave on the machine.
fn leftovers() -> Vec<String> {
    let script = "ip netns list; ip -o link show; ip route; cat /proc/mounts; ls -d /sys/fs/cgroup/kaito-* \
                  /sys/fs/cgroup/*/kaito-* /run/kaito-* 2>/dev/null; ps -eo args";
    let output = Command::new("/bin/sh").args(["-c", script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        // This command itself, and the guards of other clusters, whose script names the directory of nodes.
        .filter(|line| !line.contains("ls -d") && !line.contains("local-cluster-guard"))
        .filter(|line| {
            [
                "kaito-node",
                "kaito-veth",
                "kaito-br",
                "kaito-real",
                "10.225.",
                "kubelet",
                "containerd",
            ]
            .iter()
            .any(|part| line.contains(part))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_real_node_runs_pods_and_leaves_nothing() {
    if let Err(error) = nodes::ensure_root() {
        skipped(&error.to_string());
        return;
    }
    if !at_hand(Tier::RealNodes) {
        return;
    }
    let cluster = Cluster::start(&ClusterOptions::new(Tier::RealNodes), &Stderr).unwrap();
    let dir = cluster.dir().to_owned();
    push_shell();
    let host = NodeHost::open(&dir).unwrap();
    host.boot(&NodeOptions {
        name: NODE.to_owned(),
        labels: [("kubernetes.azure.com/mode".to_owned(), "user".to_owned())].into(),
        taints: vec![NodeTaint {
            key: "sku".to_owned(),
            value: "gpu".to_owned(),
            effect: "NoSchedule".to_owned(),
        }],
        provider_id: "azure:///node-a".to_owned(),
        device_plugin: None,
    })
    .unwrap();

    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    create(
        &cluster,
        "/api/v1/namespaces",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}}),
    );
    wait_for(
        &cluster,
        "/api/v1/namespaces/strict/serviceaccounts/default",
        "/metadata/name",
        &"default".into(),
    );
    create(
        &cluster,
        "/api/v1/namespaces/strict/services",
        &json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "silent"},
            "spec": {"selector": {"app": "nothing"}, "ports": [{"port": 80}]},
        }),
    );
    let pods = "/api/v1/namespaces/strict/pods";
    // DNS by its cluster IP, through kube-proxy, and the API server by its name.
    let script = "exec 3<>/dev/tcp/kubernetes.default.svc.cluster.local/443 && exec 4<>/dev/udp/silent.strict/53 && echo resolved; \
                  echo refused >/file || echo read-only; id -u 2>/dev/null || echo $UID";
    create(&cluster, pods, &pod("asks", script));
    create(
        &cluster,
        pods,
        &pod("stays", "while :; do read -t 1000 <> <(:); done"),
    );
    wait_for(
        &cluster,
        "/api/v1/nodes/node-a",
        "/spec/providerID",
        &"azure:///node-a".into(),
    );
    wait_for(
        &cluster,
        &format!("{pods}/asks"),
        "/status/phase",
        &"Succeeded".into(),
    );
    let log = get(&cluster, &format!("{pods}/asks/log")).1;
    assert!(
        log.contains("resolved") && log.contains("read-only") && log.contains("65532"),
        "{log}"
    );
    wait_for(
        &cluster,
        &format!("{pods}/stays"),
        "/status/phase",
        &"Running".into(),
    );
    assert!(!leftovers().is_empty());

    // A loss of power: everything of the node dies at once, and the cluster notices.
    host.kill(NODE).unwrap();
    wait_for(
        &cluster,
        "/api/v1/nodes/node-a",
        "/spec/taints/0/key",
        &"sku".into(),
    );
    let unreachable = json!("NodeStatusUnknown");
    let node = "/api/v1/nodes/node-a";
    wait_for(&cluster, node, "/status/conditions/3/reason", &unreachable);
    host.remove(NODE).unwrap();
    assert!(host.directory(NODE).is_none());

    // A node that runs when its cluster stops goes with it.
    host.boot(&NodeOptions {
        name: "node-b".to_owned(),
        ..NodeOptions::default()
    })
    .unwrap();
    wait_for(
        &cluster,
        "/api/v1/nodes/node-b",
        "/status/conditions/3/status",
        &"True".into(),
    );
    cluster.stop();
    assert!(!dir.exists());
    assert_eq!(leftovers(), Vec::<String>::new());
}

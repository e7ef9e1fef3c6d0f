//! Writes the configuration of a node: containerd, kubelet, kube-proxy, the network of pods.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::directory::NodeDirectory;
use super::options::{HostConfig, NodeOptions, Programs};
use super::{Authority, DNS_ADDRESS, REGISTRY_ADDRESS, REGISTRY_NAME, pause};

const INIT: &str = include_str!("init.sh");
const CONTAINERD: &str = include_str!("containerd.toml");
const KUBELET: &str = include_str!("kubelet.yaml");
const NETWORK: &str = include_str!("network.conflist");

/// Writes every file that `init.sh` reads.
pub(super) fn write(
    node: &NodeDirectory,
    pki: &Path,
    config: &HostConfig,
    options: &NodeOptions,
) -> Result<()> {
    let put = |name: &str, text: &str| put(&node.files().join(name), text);
    put("init.sh", INIT)?;
    put("programs.sh", &programs(node, &config.programs, options))?;
    put("containerd.toml", &containerd(&config.programs)?)?;
    put("kubelet.yaml", &kubelet(node, options)?)?;
    put(
        "cni/10-pods.conflist",
        &NETWORK.replace("NUMBER", &node.number.to_string()),
    )?;
    put("resolv.conf", "")?;
    put(&format!("registries/{REGISTRY_NAME}/hosts.toml"), &registry())?;
    pause::write_image(&config.programs.pause, &node.files().join("pause"))?;
    let ca = fs::read_to_string(pki.join("ca.crt")).context("failed to read ca.crt")?;
    put("ca.crt", &ca)?;
    let authority = Authority::open(pki)?;
    for (program, user, group) in [
        ("kubelet", format!("system:node:{}", options.name), "system:nodes"),
        (
            "kube-proxy",
            "system:kube-proxy".to_owned(),
            "system:node-proxiers",
        ),
        // It only reads, of kinds for which Kubernetes has no role.
        ("kube-router", "kube-router".to_owned(), "system:masters"),
    ] {
        let signed = authority.client(&user, group)?;
        put(&format!("{program}.crt"), &signed.certificate)?;
        put(&format!("{program}.key"), &signed.key)?;
        put(
            &format!("{program}.kubeconfig"),
            &kubeconfig(&config.server, program),
        )?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<()> {
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("failed to write {}", path.display()))
}

/// Variables of `init.sh`.
fn programs(node: &NodeDirectory, programs: &Programs, options: &NodeOptions) -> String {
    let labels: Vec<String> = options
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let line = |name: &str, value: &str| format!("{name}={}\n", quoted(value));
    let path = |path: &Path| path.display().to_string();
    // containerd finds its shim on PATH.
    let shim = programs.shim.parent().unwrap_or(Path::new("/"));
    [
        line("CONTAINERD", &path(&programs.containerd)),
        line("CTR", &path(&programs.ctr)),
        line("KUBELET", &path(&programs.kubelet)),
        line("KUBE_PROXY", &path(&programs.kube_proxy)),
        line("KUBE_ROUTER", &path(&programs.kube_router)),
        line("ADDRESS", &node.address()),
        line("LABELS", &labels.join(",")),
        line(
            "PATH",
            &format!(
                "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                shim.display()
            ),
        ),
        "export PATH\n".to_owned(),
    ]
    .concat()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn containerd(programs: &Programs) -> Result<String> {
    let directories: Vec<String> = programs
        .network
        .iter()
        .filter_map(|plugin| plugin.parent())
        .map(|directory| directory.display().to_string())
        .collect();
    // A JSON list of strings is a TOML one.
    Ok(CONTAINERD
        .replace("CNI_DIRECTORIES", &serde_json::to_string(&directories)?)
        .replace("RUNC", &programs.runc.display().to_string()))
}

fn kubelet(node: &NodeDirectory, options: &NodeOptions) -> Result<String> {
    // JSON is YAML.
    let taints = serde_json::to_string(&options.taints)?;
    let provider = serde_json::to_string(&options.provider_id)?;
    Ok(KUBELET
        .replace("NUMBER", &node.number.to_string())
        .replace("DNS_ADDRESS", DNS_ADDRESS)
        .replace("PROVIDER_ID", &provider)
        .replace("TAINTS", &taints))
}

fn registry() -> String {
    format!(
        "server = \"http://{REGISTRY_ADDRESS}\"\n\n[host.\"http://{REGISTRY_ADDRESS}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    )
}

fn kubeconfig(server: &str, program: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\n\
         clusters:\n- name: local\n  cluster:\n    server: {server}\n    certificate-authority: /var/lib/kaito/ca.crt\n\
         users:\n- name: user\n  user:\n    client-certificate: /var/lib/kaito/{program}.crt\n    \
         client-key: /var/lib/kaito/{program}.key\n\
         contexts:\n- name: local\n  context:\n    cluster: local\n    user: user\n\
         current-context: local\n"
    )
}

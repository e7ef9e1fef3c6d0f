//! The manifest by which krew, the plugin manager of kubectl, installs the plugin.
//!
//! It is for an index of our own: the common index has a plugin of the same name from another project.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The plugin of kubectl.
pub(super) const PLUGIN: &str = "kubectl-kaito";

/// One archive of the plugin.
#[derive(Debug)]
pub(super) struct PluginArchive {
    /// Name of the file.
    pub(super) file: String,
    /// SHA-256 of the file.
    pub(super) sha256: String,
}

/// The manifest for these archives, which lie below a URL.
pub(super) fn manifest(version: &str, url: &str, archives: &[PluginArchive]) -> Result<String> {
    let platforms: Vec<Value> = archives
        .iter()
        .map(|archive| platform(url, archive))
        .collect::<Result<_>>()?;
    let manifest = json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "kaito"},
        "spec": {
            "version": format!("v{version}"),
            "shortDescription": "Plan, explain and watch models on GPU nodes",
            "description": "Shows the nodes and the price of a Workspace before it is applied, says why one waits and what helps, \
                            and talks to its model.\n",
            "platforms": platforms,
        },
    });
    serde_saphyr::to_string(&manifest).context("failed to write the manifest of krew")
}

fn platform(url: &str, archive: &PluginArchive) -> Result<Value> {
    let name = archive.file.strip_suffix(".tar.gz");
    let mut parts = name.context("an archive must end with .tar.gz")?.rsplit('-');
    let (arch, os) = (parts.next(), parts.next());
    let (os, arch) = os
        .zip(arch)
        .context("an archive must name system and architecture")?;
    let suffix = if os == "windows" { ".exe" } else { "" };
    Ok(json!({
        "selector": {"matchLabels": {"os": os, "arch": arch}},
        "uri": format!("{}/{}", url.trim_end_matches('/'), archive.file),
        "sha256": archive.sha256,
        "bin": format!("{}{suffix}", PLUGIN),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_archive_is_one_platform() {
        let archives = ["linux-arm64", "windows-amd64"].map(|platform| PluginArchive {
            file: format!("kubectl-kaito-0.1.0-{platform}.tar.gz"),
            sha256: "00".into(),
        });
        let yaml = manifest("0.1.0", "https://forge.example.com/v0.1.0/", &archives).unwrap();
        let read: Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read["spec"]["version"], "v0.1.0");
        let windows = &read["spec"]["platforms"][1];
        assert_eq!(
            windows["selector"]["matchLabels"],
            json!({"os": "windows", "arch": "amd64"})
        );
        assert_eq!(windows["bin"], "kubectl-kaito.exe");
        assert_eq!(
            windows["uri"],
            "https://forge.example.com/v0.1.0/kubectl-kaito-0.1.0-windows-amd64.tar.gz"
        );
    }
}

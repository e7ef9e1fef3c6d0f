//! The chart in the registry.

use std::path::Path;

use anyhow::{Context as _, Result};
use local_cluster::nodes::REGISTRY_ADDRESS;
use testkit::Helm;

/// The repository of charts.
const CHARTS: &str = "charts";

/// Packs the chart of this repository and pushes it to the registry of the cluster.
pub(crate) async fn push(helm: &Helm, scratch: &Path) -> Result<()> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/kaito");
    let (chart, to) = (text(&chart)?, text(scratch)?);
    helm.run(&["package", chart, "--destination", to]).await?;
    let mut packages = std::fs::read_dir(scratch)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = packages
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .context("`helm package` made no archive")?;
    let place = format!("oci://{REGISTRY_ADDRESS}/{CHARTS}");
    helm.run(&["push", text(&package)?, &place, "--plain-http"])
        .await?;
    Ok(())
}

/// The path as text.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is not UTF-8")
}

/// The address of the chart in the registry.
pub(crate) fn address() -> String {
    format!("oci://{REGISTRY_ADDRESS}/{CHARTS}/kaito")
}

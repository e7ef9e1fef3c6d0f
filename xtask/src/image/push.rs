//! `cargo xtask image --push`: images and the chart to a registry, with the credentials of `docker login`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use local_cluster::{Assets, Stderr, Tool};

use crate::repository;

/// A place of images, such as `ghcr.io/team/kaito`.
#[derive(Debug)]
pub(super) struct ImagePlace {
    place: String,
    plain_http: bool,
    publisher: PathBuf,
}

impl ImagePlace {
    /// The registry, once the program that pushes is built.
    pub(super) fn new(place: &str, plain_http: bool) -> Result<Self> {
        let status = repository::cargo()
            .args(["build", "--package", "artifact"])
            .status()
            .context("failed to run cargo")?;
        ensure!(
            status.success(),
            "cargo could not build artifact: it ended with {status}"
        );
        Ok(Self {
            place: place.trim_end_matches('/').to_owned(),
            plain_http,
            publisher: repository::target().join("debug").join("artifact"),
        })
    }

    /// Pushes the image of a layout.
    pub(super) fn image(&self, layout: &Path, name: &str, tag: &str) -> Result<()> {
        let reference = format!("{}/{name}:{tag}", self.place);
        let host = self.place.split('/').next().unwrap_or_default();
        let mut command = Command::new(&self.publisher);
        command.args(["publish", "--from"]).arg(layout);
        if self.plain_http {
            command.args(["--plain-http", host]);
        }
        if let Some(logins) = docker_logins() {
            command.arg("--auth-dir").arg(logins);
        }
        let status = command
            .arg(&reference)
            .status()
            .context("failed to run artifact")?;
        ensure!(status.success(), "failed to push {reference}");
        Ok(())
    }

    /// Packs the chart and pushes it below `charts`. Says how it is installed.
    pub(super) fn chart(&self, tag: &str) -> Result<()> {
        let assets = Assets::obtain(&[Tool::Helm], &Stderr)?;
        let helm = assets.path(Tool::Helm)?;
        let to = repository::target().join("charts");
        let version = chart_version()?;
        let package = to.join(format!("kaito-{version}.tgz"));
        let chart = repository::root().join("charts").join("kaito");
        run(Command::new(helm)
            .arg("package")
            .arg(chart)
            .arg("--destination")
            .arg(to))?;
        let plain = self.plain_http.then_some("--plain-http");
        let place = format!("oci://{}/charts", self.place);
        run(Command::new(helm)
            .arg("push")
            .arg(&package)
            .arg(&place)
            .args(plain))?;
        println!(
            "helm install kaito {place}/kaito --version {version} {}--namespace kaito-system --create-namespace \\\n  \
             --set image.registry={} --set image.tag={tag} …    # and the values of docs/install.md",
            plain.map(|flag| format!("{flag} ")).unwrap_or_default(),
            self.place
        );
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().context("failed to run helm")?;
    ensure!(status.success(), "helm ended with {status}");
    Ok(())
}

/// The directory in which `docker login` keeps credentials, if there is one.
fn docker_logins() -> Option<PathBuf> {
    let set = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let directory = set.or_else(|| Some(std::env::home_dir()?.join(".docker")))?;
    directory.join("config.json").is_file().then_some(directory)
}

fn chart_version() -> Result<String> {
    let file = repository::root().join("charts/kaito/Chart.yaml");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
    let version = text.lines().find_map(|line| line.strip_prefix("version: "));
    Ok(version.context("the chart has no version")?.trim().to_owned())
}

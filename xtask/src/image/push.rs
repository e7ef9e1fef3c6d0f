//! `cargo xtask image --push`: images and the chart to a registry, with the credentials of `docker login`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use local_cluster::{Assets, Stderr, Tool};

use crate::release::VERSION;
use crate::repository;

/// A place of images, such as `ghcr.io/team/kaito`.
#[derive(Debug)]
pub(crate) struct ImagePlace {
    place: String,
    plain_http: bool,
    publisher: PathBuf,
}

impl ImagePlace {
    /// The registry, once the program that pushes is built.
    pub(crate) fn new(place: &str, plain_http: bool) -> Result<Self> {
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

    /// Checks that the registry lets an image be pushed: a build takes long, and would be in vain otherwise.
    pub(crate) fn check(&self, name: &str, tag: &str) -> Result<()> {
        let reference = self.reference(name, tag);
        let status = self
            .artifact(&["check-push", "--attempts", "2"])
            .arg(&reference)
            .status()
            .context("failed to run artifact")?;
        ensure!(
            status.success(),
            "nothing can be pushed to {}: check its address, --plain-http and `docker login`",
            self.place
        );
        Ok(())
    }

    /// Pushes the image of a layout.
    pub(crate) fn image(&self, layout: &Path, name: &str, tag: &str) -> Result<()> {
        let reference = self.reference(name, tag);
        let status = self
            .artifact(&["publish", "--from"])
            .arg(layout)
            .arg(&reference)
            .status()
            .context("failed to run artifact")?;
        ensure!(status.success(), "failed to push {reference}");
        Ok(())
    }

    fn reference(&self, name: &str, tag: &str) -> String {
        format!("{}/{name}:{tag}", self.place)
    }

    /// The command of artifact, with the access to the registry before the other arguments.
    fn artifact(&self, arguments: &[&str]) -> Command {
        let host = self.place.split('/').next().unwrap_or_default();
        let (command_name, rest) = arguments.split_at(arguments.len().min(1));
        let mut command = Command::new(&self.publisher);
        command.args(command_name);
        if self.plain_http {
            command.args(["--plain-http", host]);
        }
        if let Some(logins) = docker_logins() {
            command.arg("--auth-dir").arg(logins);
        }
        command.args(rest);
        command
    }

    /// Packs the chart for images of this tag, and pushes it below `charts`.
    pub(crate) fn chart(&self, tag: &str) -> Result<PushedChart> {
        let assets = Assets::obtain(&[Tool::Helm], &Stderr)?;
        let helm = assets.path(Tool::Helm)?;
        let to = repository::target().join("charts");
        let file_name = format!("kaito-{VERSION}.tgz");
        let package = to.join(&file_name);
        let chart = repository::root().join("charts").join("kaito");
        run(Command::new(helm)
            .arg("package")
            .arg(chart)
            .args(["--version", VERSION, "--app-version", tag])
            .arg("--destination")
            .arg(to))?;
        let place = format!("oci://{}/charts", self.place);
        let said = run(Command::new(helm)
            .arg("push")
            .arg(&package)
            .arg(&place)
            .args(self.plain()))?;
        let digest = digest_in(&said).with_context(|| format!("helm named no digest: {said}"))?;
        Ok(PushedChart {
            reference: format!("{}/charts/kaito:{VERSION}@{digest}", self.place),
            package,
            file_name,
        })
    }

    /// Prints the command that installs what was pushed: images of one architecture, or of all.
    pub(crate) fn say_how_to_install(&self, tag: &str, only: Option<&str>) {
        let plain = self.plain().map(|flag| format!("{flag} ")).unwrap_or_default();
        let here = only.map_or_else(String::new, |architecture| {
            format!(" --set 'nodeSelector.kubernetes\\.io/arch={architecture}'")
        });
        println!(
            "helm install kaito oci://{0}/charts/kaito --version {VERSION} {plain}--namespace kaito-system --create-namespace \\\n  \
             --set image.registry={0} --set image.tag={tag}{here} …    # and the values of docs/install.md",
            self.place
        );
    }

    fn plain(&self) -> Option<&'static str> {
        self.plain_http.then_some("--plain-http")
    }
}

/// A chart in a registry.
#[derive(Debug)]
pub(crate) struct PushedChart {
    /// By name, version and digest.
    pub(crate) reference: String,
    /// Its package on this machine.
    pub(crate) package: PathBuf,
    /// Name of the package.
    pub(crate) file_name: String,
}

/// The digest in the words of `helm push`.
fn digest_in(said: &str) -> Option<&str> {
    let digest = said
        .lines()
        .find_map(|line| line.strip_prefix("Digest: "))?
        .trim();
    digest.starts_with("sha256:").then_some(digest)
}

/// Runs helm, and returns what it said.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().context("failed to run helm")?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    ensure!(
        output.status.success(),
        "helm ended with {}: {}",
        output.status,
        said.concat()
    );
    Ok(said.concat())
}

/// The directory in which `docker login` keeps credentials, if there is one.
fn docker_logins() -> Option<PathBuf> {
    let set = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let directory = set.or_else(|| Some(std::env::home_dir()?.join(".docker")))?;
    directory.join("config.json").is_file().then_some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_chart_is_found() {
        let said = "Pushed: registry.example.com/charts/kaito:0.1.0\nDigest: sha256:0123\n";
        assert_eq!(digest_in(said), Some("sha256:0123"));
        assert_eq!(digest_in("Pushed: x"), None);
    }
}

//! The chart, installed by the real `helm`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use local_cluster::{Assets, Stderr, Tool};

use crate::TestEnv;

/// Namespace the chart is installed in.
pub const NAMESPACE: &str = "kaito-system";

/// Names of the release's settings that the local system needs.
const SETTINGS: [&str; 6] = [
    "workloads.enabled=false",
    "gpuProvisioner.workloadIdentity.clientId=00000000-0000-0000-0000-000000000003",
    "gpuProvisioner.azure.subscriptionId=00000000-0000-0000-0000-000000000001",
    "gpuProvisioner.azure.resourceGroup=local",
    "gpuProvisioner.azure.clusterName=local",
    "gpuProvisioner.azure.location=westeurope",
];

/// `helm` against one cluster.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Helm {
    /// The pinned `helm`, as administrator of this cluster; built first where it is not at hand.
    ///
    /// # Errors
    /// When `helm` cannot be had.
    pub async fn of(env: &TestEnv) -> Result<Self> {
        let assets = tokio::task::spawn_blocking(|| Assets::obtain(&[Tool::Helm], &Stderr)).await??;
        let cluster = env.cluster();
        Ok(Self {
            program: assets.path(Tool::Helm)?.to_owned(),
            kubeconfig: cluster.kubeconfig(),
            home: cluster.dir().join("helm"),
        })
    }

    /// Installs or upgrades the chart without its Deployments: definitions, accounts, roles, Services, configuration.
    ///
    /// # Errors
    /// `helm` fails; the error holds its output.
    pub async fn install(&self) -> Result<()> {
        self.install_with(&[]).await
    }

    /// The same with further settings, such as `nodeProvisioner=nodeclaim`.
    ///
    /// # Errors
    /// `helm` fails; the error holds its output.
    pub async fn install_with(&self, settings: &[&str]) -> Result<()> {
        self.upgrade("kaito", NAMESPACE, settings, &[]).await
    }

    /// The same as [`Helm::install`], over fields that other clients of the API server set.
    ///
    /// # Errors
    /// `helm` fails; the error holds its output.
    pub async fn install_forced(&self) -> Result<()> {
        self.upgrade("kaito", NAMESPACE, &[], &["--force-conflicts"])
            .await
    }

    /// Renders the chart without a cluster, and returns the objects as YAML.
    ///
    /// # Errors
    /// `helm` fails; the error holds its output.
    pub async fn template(&self, settings: &[&str]) -> Result<String> {
        let chart = chart();
        let chart = chart.to_str().context("the chart's path is not UTF-8")?;
        let mut args = vec!["template", "kaito", chart, "--namespace", NAMESPACE];
        for setting in SETTINGS.iter().chain(settings) {
            args.extend(["--set", setting]);
        }
        self.run(&args).await
    }

    /// Installs the chart as another release in another namespace.
    ///
    /// # Errors
    /// `helm` fails; the error holds its output.
    pub async fn install_as(&self, release: &str, namespace: &str) -> Result<()> {
        self.upgrade(release, namespace, &[], &[]).await
    }

    async fn upgrade(&self, release: &str, namespace: &str, settings: &[&str], flags: &[&str]) -> Result<()> {
        let chart = chart();
        let chart = chart.to_str().context("the chart's path is not UTF-8")?;
        let mut args = vec![
            "upgrade",
            "--install",
            release,
            chart,
            "--namespace",
            namespace,
            "--create-namespace",
            // Kinds are served a moment after their definitions were created.
            "--wait",
        ];
        args.extend(flags);
        for setting in SETTINGS.iter().chain(settings) {
            args.extend(["--set", setting]);
        }
        self.run(&args).await.map(drop)
    }

    /// Runs `helm` with these arguments and returns what it prints.
    ///
    /// # Errors
    /// `helm` fails; the error holds its output.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HELM_CACHE_HOME", self.home.join("cache"))
            .env("HELM_CONFIG_HOME", self.home.join("config"))
            .env("HELM_DATA_HOME", self.home.join("data"))
            .envs(LOOPBACK_ONLY)
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("failed to start {}", self.program.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(
            output.status.success(),
            "helm {}: {}",
            args.join(" "),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }
}

/// No proxy may stand between a tool and loopback.
pub(crate) const LOOPBACK_ONLY: [(&str, &str); 2] = [("NO_PROXY", "*"), ("no_proxy", "*")];

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/kaito")
}

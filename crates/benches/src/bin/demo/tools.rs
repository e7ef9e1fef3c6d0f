//! The tools a user has, run as a user would.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use local_cluster::{Assets, Stderr, Tool};
use serde_json::Value;
use testkit::{AUTHORITY, NAMESPACE, REGISTRY_HOST, TestEnv};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// `kubectl` and `grpcurl` for one cluster.
#[derive(Debug)]
pub(crate) struct Tools {
    kubectl: PathBuf,
    grpcurl: PathBuf,
    kubeconfig: PathBuf,
}

impl Tools {
    pub(crate) async fn of(env: &TestEnv) -> Result<Self> {
        let wanted = || Assets::obtain(&[Tool::Kubectl, Tool::Grpcurl], &Stderr);
        let assets = tokio::task::spawn_blocking(wanted).await??;
        Ok(Self {
            kubectl: assets.path(Tool::Kubectl)?.to_owned(),
            grpcurl: assets.path(Tool::Grpcurl)?.to_owned(),
            kubeconfig: env.cluster().kubeconfig(),
        })
    }

    /// Runs `kubectl` and prints what it prints.
    pub(crate) async fn show(&self, args: &[&str]) -> Result<()> {
        println!("{}", self.kubectl(args).await?);
        Ok(())
    }

    /// The message of `kubectl apply` for a manifest that the API server rejects. Nothing is stored either way.
    pub(crate) async fn refusal(&self, manifest: &str) -> Result<Option<String>> {
        let mut child = Command::new(&self.kubectl)
            .args(["apply", "--dry-run=server", "-f", "-"])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
        stdin.write_all(manifest.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        Ok((!output.status.success()).then_some(said))
    }

    /// Asks the registry for one preset through server reflection and prints the answer. The authority of its certificate and
    /// a token for it come from the cluster.
    pub(crate) async fn ask_registry(&self, address: &str, preset: &str) -> Result<()> {
        let (account, audience) = ("preset-reader", format!("--audience={REGISTRY_HOST}"));
        let token = self
            .kubectl(&["-n", NAMESPACE, "create", "token", account, &audience])
            .await?;
        let published = self
            .kubectl(&["-n", NAMESPACE, "get", "configmap", AUTHORITY, "-o", "json"])
            .await?;
        let published: Value = serde_json::from_str(&published)?;
        let authorities = published["data"].as_object().into_iter().flatten();
        let authorities: String = authorities.filter_map(|(_, pem)| pem.as_str()).collect();
        let file = tempfile::NamedTempFile::new()?;
        tokio::fs::write(file.path(), authorities).await?;
        let mut command = Command::new(&self.grpcurl);
        command
            .arg("-cacert")
            .arg(file.path())
            .args(["-H", &format!("authorization: Bearer {token}")])
            .args(["-d", &format!("{{\"name\":\"{preset}\"}}"), address])
            .arg("kaito.preset.v1.PresetRegistry/GetPreset");
        println!("{}", run(command).await?);
        Ok(())
    }

    /// Forwards a port of loopback to a port of a Service, while the result lives, and returns its address.
    pub(crate) fn forward(&self, service: &str, port: u16) -> Result<(Child, String)> {
        let [own] = testkit::reserve_ports::<1>()?;
        let child = Command::new(&self.kubectl)
            .args([
                "port-forward",
                &format!("service/{service}"),
                &format!("{own}:{port}"),
            ])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NO_PROXY", "*")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start kubectl")?;
        Ok((child, format!("http://127.0.0.1:{own}")))
    }

    /// Runs `kubectl` and returns what it prints.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.kubectl);
        command.args(args).env("KUBECONFIG", &self.kubeconfig);
        run(command).await
    }
}

async fn run(mut command: Command) -> Result<String> {
    let shown = format!("{:?}", command.as_std().get_program());
    let output = command
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| shown.clone())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    ensure!(output.status.success(), "{shown}: {}", text(&output.stderr));
    Ok(text(&output.stdout))
}

/// The page at this address.
pub(crate) async fn page(url: &str) -> Result<String> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client.get(url).send().await?.error_for_status()?;
    Ok(answer.text().await?)
}

/// Names of the agent pools that the cloud at this address has.
pub(crate) async fn agent_pools(cloud: &str) -> Result<Vec<String>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let pools: Value = client
        .get(format!("{cloud}/_control/pools"))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let list = pools
        .as_array()
        .or_else(|| pools["pools"].as_array())
        .context("no list of pools")?;
    Ok(list
        .iter()
        .filter_map(|pool| pool["name"].as_str().map(str::to_owned))
        .collect())
}

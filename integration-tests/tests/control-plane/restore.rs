//! An etcd that is restored from a backup is noticed: the programs end, and start again from what is there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use local_cluster::{ClusterOptions, Process, ProcessSpec, Tier};
use testkit::{NAMESPACE, Stack, StackOptions, TestEnv};

use crate::world::{LIMIT, World};

/// A program of the cluster that this test stops and starts again.
struct Part {
    pid: u32,
    command: Vec<String>,
}

impl Part {
    fn of(env: &TestEnv, name: &str) -> Result<Self> {
        let found = env.cluster().programs().find(|(program, _)| *program == name);
        let (_, pid) = found.with_context(|| format!("no {name}"))?;
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let command = line.split_terminator('\0').map(str::to_owned).collect();
        Ok(Self { pid, command })
    }

    fn kill(&self) -> Result<()> {
        let status = Command::new("kill")
            .args(["-9", &self.pid.to_string()])
            .status()?;
        ensure!(status.success(), "kill {}: {status}", self.pid);
        for _ in 0..200 {
            if has_no_files(self.pid) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("{} does not end", self.pid)
    }

    fn start(&self, env: &TestEnv, name: &str) -> Result<(Self, Process)> {
        let [program, args @ ..] = self.command.as_slice() else {
            anyhow::bail!("no command line");
        };
        let process = env.cluster().spawn(&ProcessSpec::new(name, program).args(args))?;
        let part = Self {
            pid: process.pid(),
            command: self.command.clone(),
        };
        Ok((part, process))
    }
}

/// Returns true once no thread of the process has an open file. Until then its port is taken.
fn has_no_files(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let files = std::fs::read_dir(thread.path().join("fd"));
        files.map_or(true, |mut files| files.next().is_none())
    })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp {}: {status}", from.display());
    Ok(())
}

async fn await_server(env: &TestEnv) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(env.client().await?, "default");
    testkit::eventually("the API server", LIMIT, async || {
        maps.list(&kube::api::ListParams::default()).await?;
        Ok(())
    })
    .await
}

/// Writes enough that versions of the restored state are far behind.
async fn churn(env: &TestEnv) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(env.client().await?, "default");
    for number in 0..300 {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(format!("churn-{number}"));
        maps.create(&PostParams::default(), &map).await?;
    }
    Ok(())
}

/// Waits until both leases are newer than the backup.
async fn await_renewals(env: &TestEnv) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(env.client().await?, NAMESPACE);
    for program in ["workspace-controller", "gpu-provisioner"] {
        let before = leases.get(program).await?.metadata.resource_version;
        testkit::eventually(&format!("a renewal of {program}"), LIMIT, async || {
            let now = leases.get(program).await?.metadata.resource_version;
            ensure!(now != before, "still {before:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_restored_etcd_is_noticed_and_everything_is_listed_again() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::ControlPlaneOnly)).await?,
    ));
    let options = StackOptions {
        // Survives the time in which etcd is away.
        lease_seconds: 90,
        ..StackOptions::default()
    };
    let mut stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    let before = world.apply(&world.inference("before")).await?;
    has_claim(&world, &before).await?;

    let data = env.cluster().dir().join("etcd");
    let backup: PathBuf = env.cluster().dir().join("backup");
    let etcd = Part::of(env, "etcd")?;
    etcd.kill()?;
    copy(&data, &backup)?;
    let (etcd, process) = etcd.start(env, "etcd-1")?;
    await_server(env).await?;
    churn(env).await?;
    await_renewals(env).await?;
    etcd.kill()?;
    drop(process);
    std::fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    let (_, _etcd) = etcd.start(env, "etcd-2")?;
    let server = Part::of(env, "kube-apiserver")?;
    server.kill()?;
    let (_, _server) = server.start(env, "kube-apiserver-1")?;
    await_server(env).await?;

    for program in [&mut stack.controller, &mut stack.provisioner] {
        let status = program.wait(LIMIT).await?;
        let log = program.log_text()?;
        ensure!(
            !status.success() && log.contains("older state"),
            "{status}: {log}"
        );
    }
    // As the kubelet does.
    stack.controller = stack.programs.start_controller(env)?;
    let after = world.apply(&world.inference("after")).await?;
    has_claim(&world, &after).await?;
    has_claim(&world, &before).await
}

async fn has_claim(world: &World, name: &str) -> Result<()> {
    testkit::eventually("a claim", LIMIT, async || {
        let machines = world.machines(name).await?;
        let names: Vec<_> = machines.iter().map(kube::ResourceExt::name_any).collect();
        ensure!(names.len() == 1, "{names:?}");
        Ok(())
    })
    .await
}

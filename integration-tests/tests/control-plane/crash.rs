//! A controller that dies right after any of its first ten writes leaves nothing twice and nothing behind.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use testkit::{Running, Stack, StackOptions, TestEnv};

use crate::crash_proxy::CrashProxy;
use crate::world::World;

const WRITES: usize = 10;

/// The program that is killed.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Controller,
    Provisioner,
}

impl Victim {
    fn account(self) -> &'static str {
        match self {
            Self::Controller => "workspace-controller",
            Self::Provisioner => "gpu-provisioner",
        }
    }

    fn slot(self, stack: &mut Stack) -> &mut Running {
        match self {
            Self::Controller => &mut stack.controller,
            Self::Provisioner => &mut stack.provisioner,
        }
    }

    fn start(self, env: &TestEnv, stack: &Stack, kubeconfig: Option<&PathBuf>) -> Result<Running> {
        let programs = &stack.programs;
        match (self, kubeconfig) {
            (Self::Controller, Some(path)) => programs.start_controller_with(env, path),
            (Self::Controller, None) => programs.start_controller(env),
            (Self::Provisioner, Some(path)) => programs.start_provisioner_with(env, path),
            (Self::Provisioner, None) => programs.start_provisioner(env),
        }
    }
}

#[tokio::test]
async fn a_kill_after_any_of_the_first_writes_changes_nothing() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(local_cluster::ClusterOptions::new(local_cluster::Tier::WithNodes)).await?,
    ));
    let mut stack = Stack::start(env, StackOptions::default()).await?;
    for victim in [Victim::Controller, Victim::Provisioner] {
        for nth in 1..=WRITES {
            let world = World::on(env, &stack.programs).await?;
            one_crash(&world, &mut stack, victim, nth)
                .await
                .with_context(|| format!("{} killed after write {nth}", victim.account()))?;
        }
    }
    Ok(())
}

async fn one_crash(world: &World, stack: &mut Stack, victim: Victim, nth: usize) -> Result<()> {
    let env = world.env;
    victim.slot(stack).kill9()?;
    world.forget_leader(victim.account()).await?;
    let identity = env
        .client_with(stack.programs.kubeconfig(victim.account()))
        .await?;
    let mut proxy = CrashProxy::start(identity, nth).await?;
    let kubeconfig = proxied(env, &format!("{}-{nth}", victim.account()), proxy.address)?;
    *victim.slot(stack) = victim.start(env, stack, Some(&kubeconfig))?;
    let name = world.apply(&world.inference("w")).await?;
    // A Workspace takes fewer writes than ten from some programs: then deletion makes the rest.
    let died = tokio::select! {
        line = proxy.struck.recv() => line,
        result = world.ready(&name) => { result?; None }
    };
    if died.is_none() {
        world
            .workspaces()
            .delete(&name, &kube::api::DeleteParams::default())
            .await?;
        tokio::select! {
            line = proxy.struck.recv() => drop(line),
            result = world.gone(&name) => result?,
        }
    }
    victim.slot(stack).kill9()?;
    drop(proxy);
    world.forget_leader(victim.account()).await?;
    *victim.slot(stack) = victim.start(env, stack, None)?;
    if died.is_some() {
        world.ready(&name).await?;
        let machines: Vec<String> = world
            .machines(&name)
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        let pools = world.pools(&name).await?;
        ensure!(
            machines.len() == 1 && pools == machines,
            "after {died:?}: Machines {machines:?}, pools {pools:?}"
        );
    }
    world.delete(&name).await?;
    Ok(())
}

/// A kubeconfig for a program that reaches the API server through a proxy.
pub(crate) fn proxied(env: &TestEnv, name: &str, proxy: SocketAddr) -> Result<PathBuf> {
    let path = env.cluster().dir().join(format!("proxied-{name}.kubeconfig"));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: proxied\n\
         clusters: [{{name: proxied, cluster: {{server: 'http://{}'}}}}]\n\
         users: [{{name: proxied, user: {{}}}}]\n\
         contexts: [{{name: proxied, context: {{cluster: proxied, user: proxied}}}}]\n",
        proxy
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

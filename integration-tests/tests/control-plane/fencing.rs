//! A write of a claim that is delayed past the lease of its sender, or past the life of its Workspace, has no effect.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::http::{Method, StatusCode};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams};
use local_cluster::{ClusterOptions, Tier};
use testkit::{Running, Stack, StackOptions, TestEnv};

use crate::crash::proxied;
use crate::holding_proxy::HoldingProxy;
use crate::power::{stopped, turn};
use crate::world::{LIMIT, World};

/// Short enough for a test, long enough for a busy machine.
const LEASE_SECONDS: u32 = 6;

/// A system whose controller reaches the API server through a proxy that holds new claims back.
struct Delayed {
    world: World,
    stack: Stack,
    proxy: HoldingProxy,
}

impl Delayed {
    async fn start() -> Result<Self> {
        let env: &'static TestEnv = Box::leak(Box::new(
            TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
        ));
        let options = StackOptions {
            lease_seconds: LEASE_SECONDS,
            ..StackOptions::default()
        };
        let mut stack = Stack::start(env, options).await?;
        let world = World::on(env, &stack.programs).await?;
        stack.controller.kill9()?;
        world.forget_leader("workspace-controller").await?;
        let identity = env
            .client_with(stack.programs.kubeconfig("workspace-controller"))
            .await?;
        let proxy = HoldingProxy::start(identity, Method::PATCH).await?;
        let kubeconfig = proxied(env, "delayed", proxy.address)?;
        stack.controller = stack.programs.start_controller_with(env, &kubeconfig)?;
        Ok(Self { world, stack, proxy })
    }

    /// Applies a Workspace and waits until the request for its claim is held.
    async fn hold_claim(&mut self) -> Result<String> {
        let name = self.world.apply(&self.world.inference("w")).await?;
        let held = tokio::time::timeout(LIMIT, self.proxy.held.recv()).await?;
        held.context("the proxy ended")?;
        Ok(name)
    }

    /// Lets the held requests through. None may create a claim.
    async fn release(&mut self, name: &str) -> Result<()> {
        self.proxy.release();
        let first = tokio::time::timeout(LIMIT, self.proxy.answered.recv()).await?;
        let (status, body) = first.context("the proxy ended")?;
        ensure!(
            status == StatusCode::UNPROCESSABLE_ENTITY
                && body.contains("the lease of workspace-controller moved on"),
            "{status} {body}"
        );
        tokio::time::sleep(Duration::from_secs(3)).await;
        while let Ok((status, body)) = self.proxy.answered.try_recv() {
            ensure!(!status.is_success(), "{status} {body}");
        }
        let (machines, pools) = (self.world.machines(name).await?, self.world.pools(name).await?);
        ensure!(
            machines.is_empty() && pools.is_empty(),
            "a late request created {machines:?}, {pools:?}"
        );
        Ok(())
    }

    fn replica(&self) -> Result<Running> {
        self.stack.programs.replica()?.start_controller(self.world.env)
    }
}

#[tokio::test]
async fn a_claim_delayed_past_the_lease_has_no_effect() -> Result<()> {
    let mut system = Delayed::start().await?;
    let name = system.hold_claim().await?;
    system.stack.controller.suspend()?;
    let _successor = system.replica()?;
    system.world.ready(&name).await?;
    system.world.delete(&name).await?;
    system.release(&name).await?;
    // The first replica wakes up, writes nothing and ends.
    system.stack.controller.resume()?;
    let status = system.stack.controller.wait(LIMIT).await?;
    ensure!(
        !status.success(),
        "a replica that lost its lease ended with {status}"
    );
    ensure!(
        system.world.machines(&name).await?.is_empty(),
        "a claim came back"
    );
    Ok(())
}

#[tokio::test]
async fn a_claim_delayed_past_its_workspace_has_no_effect() -> Result<()> {
    let mut system = Delayed::start().await?;
    let name = system.hold_claim().await?;
    let api = system.world.workspaces();
    // The request is given up, and another one is held.
    let again = tokio::time::timeout(LIMIT, system.proxy.held.recv()).await?;
    again.context("the proxy ended")?;
    api.delete(&name, &DeleteParams::default()).await?;
    tokio::time::sleep(Duration::from_secs(u64::from(LEASE_SECONDS))).await;
    ensure!(
        api.get_opt(&name).await?.is_some(),
        "the Workspace was released while a claim could still appear"
    );
    system.world.gone(&name).await?;
    system.release(&name).await
}

/// The user deletes a Node, and the provisioner wants to delete its claim. The next leader keeps the claim, because the
/// instance was stopped meanwhile.
#[tokio::test]
async fn a_deletion_delayed_past_the_lease_spares_a_claim_that_is_kept() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        lease_seconds: LEASE_SECONDS,
        ..StackOptions::default()
    };
    let mut stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    stack.provisioner.kill9()?;
    world.forget_leader("gpu-provisioner").await?;
    let identity = env
        .client_with(stack.programs.kubeconfig("gpu-provisioner"))
        .await?;
    let mut proxy = HoldingProxy::start(identity, Method::DELETE).await?;
    let kubeconfig = proxied(env, "deletions", proxy.address)?;
    stack.provisioner = stack.programs.start_provisioner_with(env, &kubeconfig)?;
    let name = world.apply(&world.inference("w")).await?;
    world.ready(&name).await?;
    let claim = world.machines(&name).await?.pop().context("no Machine")?;
    let pool = world.pools(&name).await?.pop().context("no pool")?;

    let nodes: Api<Node> = Api::all(world.client.clone());
    let node = world.nodes(&name).await?.pop().context("no Node")?;
    nodes.delete(&node.name_any(), &DeleteParams::default()).await?;
    let held = tokio::time::timeout(LIMIT, proxy.held.recv()).await?;
    held.context("the proxy ended")?;
    stack.provisioner.suspend()?;
    turn(&world, &world.cloud()?, &pool, true).await?;
    let _successor = stack.programs.replica()?.start_provisioner(env)?;
    stopped(&world, &name).await?;

    proxy.release();
    let first = tokio::time::timeout(LIMIT, proxy.answered.recv()).await?;
    let (status, body) = first.context("the proxy ended")?;
    ensure!(status == StatusCode::CONFLICT, "{status} {body}");
    let kept = world.machines(&name).await?.pop().context("no Machine")?;
    ensure!(
        kept.metadata.uid == claim.metadata.uid && kept.metadata.deletion_timestamp.is_none(),
        "a former leader deleted the claim"
    );
    Ok(())
}

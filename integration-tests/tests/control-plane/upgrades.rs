//! A new version of the operator restarts no model until that is asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use serde_json::json;
use testkit::{Stack, StackOptions, TestEnv};

use crate::faults::own;
use crate::world::{LIMIT, World};

const IMAGE: &str = "example.com/base:2";
/// The window is always open.
const AUTOMATIC: [&str; 3] = [
    "--upgrades=automatic",
    "--upgrade-window-start=00:00",
    "--upgrade-window-length=24h",
];

fn image(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.template.spec.as_ref()?;
    pod.containers.first()?.image.as_deref()
}

async fn annotate(world: &World, name: &str, key: &str, value: &str) -> Result<()> {
    let body = json!({"metadata": {"annotations": {key: value}}});
    let workspaces = world.workspaces();
    workspaces
        .patch(name, &PatchParams::default(), &Patch::Merge(&body))
        .await?;
    Ok(())
}

#[tokio::test]
async fn another_base_image_restarts_no_model_until_one_is_asked() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut before = Vec::new();
    for name in ["one", "two"] {
        world.apply(&world.inference(name)).await?;
    }
    for name in ["one", "two"] {
        world.ready(name).await?;
        before.push(deployments.get(name).await?);
    }
    let old = image(&before[0]).context("no image")?.to_owned();

    restart_with(&world, &mut stack, &["--base-image", IMAGE]).await?;
    for name in ["one", "two"] {
        let announced = world.env.eventually("the announcement", LIMIT, async || {
            let says = world.condition(name, "WorkspaceReady", "True", None).await?;
            ensure!(says.contains("UpgradeAvailable: "), "{says}");
            Ok(says)
        });
        let says = announced.await?;
        ensure!(says.contains(&format!("{old} -> {IMAGE}")), "{says}");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for deployment in &before {
        let now = deployments.get(&deployment.name_any()).await?;
        ensure!(
            now.metadata.generation == deployment.metadata.generation,
            "{now:?}"
        );
    }

    annotate(&world, "one", "kaito.sh/upgrade", "now").await?;
    let has = async |name: &str, wanted: &str| {
        world
            .env
            .eventually(&format!("{name} with {wanted}"), LIMIT, async || {
                let now = deployments.get(name).await?;
                ensure!(image(&now) == Some(wanted), "{:?}", image(&now));
                Ok(())
            })
            .await
    };
    has("one", IMAGE).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let other = deployments.get("two").await?;
    ensure!(
        other.metadata.generation == before[1].metadata.generation,
        "only one is rolled"
    );

    let mut kept = world.revisions("one").await?;
    kept.sort_by_key(|revision| revision.revision);
    ensure!(kept.len() == 2, "{kept:?}");
    annotate(&world, "one", "kaito.sh/rollback-to", &kept[0].name_any()).await?;
    has("one", &old).await?;
    world.ready("one").await?;
    for name in ["one", "two"] {
        world.delete(name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_model_that_was_never_ready_takes_a_mended_image_at_once() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    world.apply(&world.inference("serves")).await?;
    world.ready("serves").await?;
    let before = deployments.get("serves").await?;
    let wrong = ["--base-image", "example.com/base:missing"];
    restart_with(&world, &mut stack, &wrong).await?;
    world.apply(&world.inference("waits")).await?;
    let pulls = world.env.eventually("the image is missed", LIMIT, async || {
        let says = world.condition("waits", "InferenceReady", "False", None).await?;
        ensure!(
            says.contains("cannot get its image example.com/base:missing"),
            "{says}"
        );
        Ok(())
    });
    pulls.await?;
    restart_with(&world, &mut stack, &["--base-image", IMAGE]).await?;
    world.ready("waits").await?;
    ensure!(
        image(&deployments.get("waits").await?) == Some(IMAGE),
        "not mended"
    );
    let settled = world.env.eventually("the mark to go", LIMIT, async || {
        let mut kept = world.revisions("waits").await?;
        kept.sort_by_key(|revision| revision.revision);
        let marked: Vec<bool> = kept
            .iter()
            .map(|revision| revision.annotations().contains_key("kaito.sh/never-ready"))
            .collect();
        ensure!(marked == [true, false], "{kept:?}");
        Ok(())
    });
    settled.await?;
    // What is ready now does not follow the next image, and what served before followed none.
    restart_with(&world, &mut stack, &["--base-image", "example.com/base:3"]).await?;
    for name in ["waits", "serves"] {
        let announced = world.env.eventually("the announcement", LIMIT, async || {
            let says = world.condition(name, "WorkspaceReady", "True", None).await?;
            ensure!(says.contains("-> example.com/base:3"), "{says}");
            Ok(())
        });
        announced.await?;
    }
    ensure!(
        image(&deployments.get("waits").await?) == Some(IMAGE),
        "rolled again"
    );
    let now = deployments.get("serves").await?;
    ensure!(now.metadata.generation == before.metadata.generation, "{now:?}");
    for name in ["waits", "serves"] {
        world.delete(name).await?;
    }
    Ok(())
}

/// Restarts the workspace controller with these flags, as an upgrade of the chart does.
async fn restart_with(world: &World, stack: &mut Stack, flags: &[&str]) -> Result<()> {
    stack.controller.kill9()?;
    world.forget_leader("workspace-controller").await?;
    stack.controller = stack.programs.start_upgraded_controller(world.env, flags)?;
    Ok(())
}

/// A system with a catalog of the user's own.
async fn with_presets() -> Result<(&'static TestEnv, Stack, PathBuf)> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let presets = env.cluster().dir().join("presets");
    std::fs::create_dir(&presets)?;
    write_preset(&presets, "0.91")?;
    let options = StackOptions {
        presets_dir: Some(presets.clone()),
        ..StackOptions::default()
    };
    Ok((env, Stack::start(env, options).await?, presets))
}

fn write_preset(presets: &Path, share: &str) -> Result<()> {
    let preset = format!(
        "hub_id: acme/support-8b\nlicense: mit\narchitecture: LlamaForCausalLM\nweights: 15Gi\n\
         max_context_tokens: 8192\nkv_bytes_per_token: 131072\nvllm_flags: {{gpu-memory-utilization: {share}}}\n",
    );
    // A whole file appears at once.
    std::fs::write(presets.join(".new"), preset)?;
    std::fs::rename(presets.join(".new"), presets.join("acme.yaml")).map_err(Into::into)
}

/// Workspaces whose automatic upgrade is under way.
async fn under_way(world: &World, names: &[&str]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for name in names {
        let is_marked = |revision: &k8s_openapi::api::apps::v1::ControllerRevision| {
            revision.annotations().contains_key("kaito.sh/automatic-upgrade")
        };
        if world.revisions(name).await?.iter().any(is_marked) {
            found.insert((*name).to_owned());
        }
    }
    Ok(found)
}

#[tokio::test]
async fn a_changed_catalog_restarts_no_model_until_its_turn() -> Result<()> {
    let (env, mut stack, presets) = with_presets().await?;
    let world = World::on(env, &stack.programs).await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let names = ["one", "two", "mine"];
    for name in names {
        let mut workspace = world.inference(name);
        workspace["inference"]["preset"]["name"] = "support-8b".into();
        world.apply(&workspace).await?;
    }
    annotate(&world, "mine", "kaito.sh/upgrades", "manual").await?;
    let mut before = Vec::new();
    for name in names {
        world.ready(name).await?;
        before.push(deployments.get(name).await?);
    }
    write_preset(&presets, "0.82")?;
    for (name, before) in names.iter().zip(&before) {
        let announced = world.env.eventually("the announcement", LIMIT, async || {
            let says = world.condition(name, "WorkspaceReady", "True", None).await?;
            ensure!(
                says.contains("UpgradeAvailable: ") && says.contains("0.82"),
                "{says}"
            );
            Ok(())
        });
        announced.await?;
        let now = deployments.get(name).await?;
        ensure!(now.metadata.generation == before.metadata.generation, "{now:?}");
    }

    restart_with(&world, &mut stack, &AUTOMATIC).await?;
    let template = |deployment: &Deployment| deployment.spec.template.clone();
    let rolled = world.env.eventually("both upgrades", LIMIT, async || {
        let now = under_way(&world, &names).await?;
        // The two lists of revisions are read one after the other, so a mark may go and another come in between.
        if now.len() > 1 {
            let again = under_way(&world, &names).await?;
            assert!(again.len() <= 1 || again != now, "{now:?} at once");
        }
        for (name, before) in names.iter().zip(&before).take(2) {
            ensure!(
                template(&deployments.get(name).await?) != template(before),
                "{name} waits"
            );
        }
        let left = under_way(&world, &names).await?;
        ensure!(left.is_empty(), "{left:?} are under way");
        Ok(())
    });
    rolled.await?;
    let mine = deployments.get("mine").await?;
    ensure!(template(&mine) == template(&before[2]), "{mine:?}");
    let says = world.condition("mine", "WorkspaceReady", "True", None).await?;
    ensure!(says.contains("UpgradeAvailable: "), "{says}");
    for name in names {
        world.delete(name).await?;
    }
    Ok(())
}

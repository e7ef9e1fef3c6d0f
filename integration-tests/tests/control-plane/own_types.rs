//! The administrator's instance types: accepted at apply, sized and priced by the file, bought as it names them.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use kaito_api::Workspace;
use local_cluster::{ClusterOptions, Tier};
use testkit::{Program, Stack, StackOptions, TestEnv};

use crate::verdicts::{on, tried};
use crate::world::{LIMIT, World};

const OWN: &str = "Standard_ND96isr_VR300_v7";
const A100: &str = "Standard_NC24ads_A100_v4";
/// Most types that files may list.
const MOST: usize = 100;

/// As many types as files may list, and another price for a built-in one.
fn file() -> String {
    let mut text = format!(
        "cloud: azure
prices: {{region: eastus2, as_of: 2026-11-30, source: our contract}}
usd_per_hour: {{{A100}: 2.50}}
instance_types:
"
    );
    let mut add = |name: &str, price: &str| {
        let _ = writeln!(
            text,
            "- {{name: {name}, gpus: 8, gpu_memory_gib: 288, gpu_model: NVIDIA VR300, vendor: nvidia, \
             compute_capability: '12.1', vcpus: 96, memory_gib: 1900, usd_per_hour: '{price}'}}"
        );
    };
    add(OWN, "120.50");
    for place in 1..MOST {
        add(&format!("Standard_ND_F{place:03}_v9"), "999");
    }
    text
}

/// Waits until a served Workspace shows its price, and returns it.
async fn served(world: &World, name: &str) -> Result<(Workspace, String)> {
    world.ready(name).await?;
    let workspace = world.workspaces().get(name).await?;
    let start = workspace
        .status
        .as_ref()
        .and_then(|status| status.cold_start.as_ref());
    let price = start.context("no cold start")?.usd_per_hour.clone();
    Ok((workspace, price))
}

#[tokio::test]
async fn a_new_type_is_sized_priced_and_bought_as_the_file_lists_it() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        publish_catalog: true,
        instance_types: Some(file().leak()),
        ..StackOptions::default()
    };
    let stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;

    let unknown = on("Standard_ND96isr_VR300_v8", "phi-4", "unknown");
    env.eventually("a refusal", LIMIT, async || {
        match tried(&world.client, &world.namespace, &unknown).await? {
            Ok(_) => bail!("accepted"),
            Err(words) => ensure!(
                words.contains("is not known in cloud azure") && words.contains(OWN),
                "{words}"
            ),
        }
        Ok(())
    })
    .await?;

    // The same model takes two nodes of eight H100.
    let large = world.apply(&on(OWN, "deepseek-r1-0528", "large")).await?;
    let (workspace, price) = served(&world, &large).await?;
    ensure!(price == "120.50", "{price}");
    let status = workspace.status.context("no status")?;
    ensure!(status.instance_type.as_deref() == Some(OWN), "{status:?}");
    let nodes = world.nodes(&large).await?;
    ensure!(nodes.len() == 1, "{} nodes", nodes.len());
    let allocatable = nodes[0]
        .status
        .as_ref()
        .and_then(|status| status.allocatable.as_ref());
    let gpus = allocatable.and_then(|all| all.get("nvidia.com/gpu"));
    ensure!(gpus.is_some_and(|gpus| gpus.0 == "8"), "{gpus:?}");
    let pools = world.pools(&large).await?;
    let all = world.cloud()?.pools().await?;
    let sizes: Vec<&str> = all
        .iter()
        .filter(|pool| pools.contains(&pool.name))
        .map(|pool| pool.vm_size.as_str())
        .collect();
    ensure!(sizes == [OWN], "{sizes:?}");

    let small = world.apply(&on(A100, "phi-4", "small")).await?;
    let (_, price) = served(&world, &small).await?;
    ensure!(price == "2.50", "{price}");
    let log = stack.controller.log_text()?;
    ensure!(
        log.contains("replaced built-in instance type") && log.contains(A100),
        "{log}"
    );
    world.delete(&large).await?;
    world.delete(&small).await?;
    a_wrong_file_ends_the_programs(env).await
}

async fn a_wrong_file_ends_the_programs(env: &TestEnv) -> Result<()> {
    let directory = env.cluster().dir().join("wrong-types");
    std::fs::create_dir_all(&directory)?;
    let wrong = "cloud: azure\ninstance_types:\n- {name: box, gpu: 1}\n";
    std::fs::write(directory.join("wrong.yaml"), wrong)?;
    for name in ["workspace-controller", "preset-registry"] {
        let mut program = Program::named(name)
            .arg("--instance-types-dir")
            .arg(&directory)
            .args((name == "preset-registry").then_some("--insecure"))
            .start(env)?;
        let ended = program.wait(LIMIT).await?;
        let log = program.log_text()?;
        ensure!(!ended.success(), "{name} ended well");
        ensure!(
            log.contains("wrong.yaml: line 3 column 15: unknown field `gpu`"),
            "{name}: {log}"
        );
    }
    Ok(())
}

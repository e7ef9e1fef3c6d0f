//! Settings that change verdicts: what `kubectl apply` refuses, what it only warns about, and what is left to the
//! controller.

use admission::table::{TableOptions, Unlisted};
use admission_cases::with;
use anyhow::{Context as _, Result, bail, ensure};
use instance_types::{Ceiling, Ceilings, Cloud};
use kube::Client;
use kube::api::{Patch, PatchParams};
use lint::{Linter, NodeSource, Settings};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Stack, StackOptions, TestEnv};

use crate::world::{LIMIT, World};

/// Outcome of an application that stores nothing: the warnings, or the refusal.
pub(crate) async fn tried(
    client: &Client,
    namespace: &str,
    object: &Value,
) -> Result<Result<Vec<String>, String>> {
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::apply("user").force()
    };
    let path = format!("/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces");
    let request = kube::core::Request::new(path).patch(name, &params, &Patch::Apply(object))?;
    let response = client.send(request.map(kube::client::Body::from)).await?;
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|text| text.to_str().map(str::to_owned));
    let warnings = warnings.collect::<Result<Vec<_>, _>>()?;
    if response.status().is_success() {
        return Ok(Ok(warnings));
    }
    let body = response.into_body().collect_bytes().await?;
    let status: Value = serde_json::from_slice(&body)?;
    Ok(Err(status["message"].as_str().unwrap_or_default().to_owned()))
}

/// A Workspace that serves a preset on an instance type.
pub(crate) fn on(instance_type: &str, preset: &str, name: &str) -> Value {
    let object = with(
        admission_cases::inference(),
        "/resource/instanceType",
        json!(instance_type),
    );
    let object = with(object, "/inference/preset/name", json!(preset));
    let secret = json!({"modelAccessSecret": "hub"});
    let object = with(object, "/inference/preset/presetOptions", secret);
    with(object, "/metadata/name", json!(name))
}

#[tokio::test]
async fn ceilings_and_retired_types_are_told_at_apply_and_kept_by_the_controller() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::ControlPlaneOnly)).await?,
    ));
    let options = StackOptions {
        publish_catalog: true,
        verdict_flags: &["--namespace-node-ceiling=3", "--workspace-price-ceiling=12"],
        ..StackOptions::default()
    };
    let stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    let linter = Linter::new(Settings {
        presets: preset_catalog::Catalog::embedded()?,
        instance_types: instance_types::Catalog::embedded()?,
        nodes: NodeSource::Provisioned,
        options: TableOptions {
            ceilings: Ceilings {
                workspace: Ceiling {
                    nodes: None,
                    usd_per_hour: "12".parse().ok(),
                },
                namespace: Ceiling {
                    nodes: Some(3),
                    usd_per_hour: None,
                },
            },
            ..TableOptions::new(Cloud::Azure, Unlisted::Refused)
        },
    })?;
    let refused = |object: Value, part: &'static str| {
        let (world, linter) = (&world, &linter);
        async move {
            let offline = linter.create(&object);
            ensure!(
                offline.iter().any(|found| found.message.contains(part)),
                "lint: {offline:?}"
            );
            env.eventually("a refusal", LIMIT, async || {
                match tried(&world.client, &world.namespace, &object).await? {
                    Ok(_) => bail!("accepted {object}"),
                    Err(message) => ensure!(message.contains(part), "{message}"),
                }
                Ok(())
            })
            .await
        }
    };
    refused(
        on("Standard_NC96ads_A100_v4", "phi-4", "costly"),
        "1 node of Standard_NC96ads_A100_v4 would cost $14.69/h; a Workspace may cost $12.00/h",
    )
    .await?;
    refused(
        on("Standard_NV36ads_A10_v5", "llama-3.3-70b-instruct", "wide"),
        "all Workspaces of a namespace may have 3 nodes",
    )
    .await?;

    // A namespace that is full is known to the controller alone.
    let large = on("Standard_NC24ads_A100_v4", "llama-3.3-70b-instruct", "large");
    world.apply(&large).await?;
    env.eventually("three claims", LIMIT, async || {
        let claims = world.machines("large").await?.len();
        ensure!(claims == 3, "{claims} claims");
        Ok(())
    })
    .await?;
    world
        .apply(&on("Standard_NC24ads_A100_v4", "phi-4", "small"))
        .await?;
    let message = world
        .condition("small", "ResourceReady", "False", Some("SpendingCeilingExceeded"))
        .await?;
    ensure!(
        message.contains("1 node of Standard_NC24ads_A100_v4 would cost $3.67/h")
            && message.contains("has 0 of 3 nodes left"),
        "{message}"
    );
    ensure!(world.machines("small").await?.is_empty(), "a node was bought");

    let retired = on("Standard_NC6s_v3", "phi-3-mini-4k-instruct", "retired");
    let note = "Standard_NC6s_v3 is retired since 2025-09-30: Standard_NV36ads_A10_v5 is bought instead, for $3.20/h";
    let warnings = tried(&world.client, &world.namespace, &retired).await?;
    let warnings = warnings.map_err(anyhow::Error::msg)?;
    ensure!(
        warnings.iter().any(|warning| warning.contains(note)),
        "{warnings:?}"
    );
    ensure!(
        linter
            .warnings(&retired)
            .iter()
            .any(|found| found.message.contains(note)),
        "lint warns of something else"
    );
    Ok(())
}

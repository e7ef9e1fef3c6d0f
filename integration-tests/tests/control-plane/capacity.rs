//! Quota and restrictions of the subscription: read from the cloud, published once, and used before nodes are bought.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arm_server::config::OfferingRule;
use arm_server::control::{Action, ControlClient, FaultRule, Named, Verb};
use k8s_openapi::api::core::v1::ConfigMap;
use kaito_api::capacity::CapacityRecord;
use kube::Api;
use serde_json::{Value, json};
use testkit::{NAMESPACE, Stack, TestEnv};

use crate::faults::own;
use crate::probes::get;
use crate::verdicts::tried;
use crate::world::{LIMIT, World};

const A100: &str = "Standard_NC24ads_A100_v4";
const H100: &str = "Standard_NC40ads_H100_v5";
const A10: &str = "Standard_NV36ads_A10_v5";

/// A cloud with 30 processors for A100s, and none of the A10s for this subscription.
async fn short(cloud: &ControlClient) -> Result<()> {
    let mut behavior = cloud.behavior().await?;
    behavior.quota = [(A100.to_owned(), 30)].into();
    behavior.offerings.insert(
        0,
        OfferingRule {
            vm_size: A10.to_owned(),
            error: Named::SkuRestricted,
            at_once: true,
            ..OfferingRule::default()
        },
    );
    Ok(cloud.set_behavior(&behavior).await?)
}

/// A new provisioner reads both lists at once.
async fn restart_provisioner(env: &TestEnv, stack: &mut Stack) -> Result<()> {
    stack.provisioner.terminate()?;
    stack.provisioner.wait(LIMIT).await?;
    stack.provisioner = stack.programs.start_provisioner(env)?;
    Ok(())
}

async fn published(world: &World, is_expected: impl Fn(&CapacityRecord) -> bool) -> Result<ConfigMap> {
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    testkit::eventually("the record of quota and restrictions", LIMIT, async || {
        let found = api.get("kaito-capacity").await?;
        let record = CapacityRecord::parse(found.data.as_ref().context("no data")?)?;
        ensure!(is_expected(&record), "{record:?}");
        Ok(found)
    })
    .await
}

fn left(record: &CapacityRecord, name: &str) -> Option<u64> {
    record.vcpus_left(name, &kaito_api::AllowedOfferings::default())
}

#[tokio::test]
async fn a_ladder_and_its_user_know_what_is_left_before_anything_is_bought() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let cloud = world.cloud()?;
    let first = published(&world, |record| record.instance_type(A100).is_some()).await?;
    short(&cloud).await?;
    restart_provisioner(env, &mut stack).await?;
    let second = published(&world, |record| left(record, A100) == Some(30)).await?;
    ensure!(first.metadata.resource_version != second.metadata.resource_version);

    // One A100 fits. Its user hears nothing.
    let on = |name: &str, instance_type: &str| {
        let mut workspace = world.inference(name);
        workspace["resource"]["instanceType"] = json!(instance_type);
        workspace
    };
    let warnings = async |object: Value| tried(&world.client, &world.namespace, &object).await;
    let heard = warnings(on("quiet", A100)).await?;
    ensure!(heard.as_ref().is_ok_and(Vec::is_empty), "{heard:?}");
    let one = world.apply(&on("one", A100)).await?;
    world.ready(&one).await?;
    // The quota is read again with the next provisioner.
    restart_provisioner(env, &mut stack).await?;
    let third = published(&world, |record| left(record, A100) == Some(6)).await?;

    let words = "24 vCPUs of StandardncadsA100v4Family asked";
    let heard = testkit::eventually("a warning", LIMIT, async || {
        let heard = warnings(on("heard", &format!("{A10},{A100}"))).await?;
        let heard = heard.map_err(anyhow::Error::msg)?.join("\n");
        ensure!(heard.to_lowercase().contains(&words.to_lowercase()), "{heard}");
        Ok(heard)
    })
    .await?;
    for part in [
        "for each node, 6 left in westeurope (read ",
        "the subscription may not use it in westeurope",
    ] {
        ensure!(heard.contains(part), "{heard}");
    }

    // Nothing is written while nothing changes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let last = published(&world, |_| true).await?;
    ensure!(
        last.metadata.resource_version == third.metadata.resource_version,
        "{last:?}"
    );

    cloud.clear_requests().await?;
    let ladder = world
        .apply(&on("ladder", &format!("{A10},{A100},{H100}")))
        .await?;
    world.ready(&ladder).await?;
    let asked = cloud.requests(0).await?;
    let puts: Vec<_> = asked
        .iter()
        .filter(|request| request.verb == Some(Verb::Put))
        .collect();
    ensure!(puts.len() == 1 && puts[0].status == Some(201), "{puts:?}");
    let status = world
        .workspaces()
        .get(&ladder)
        .await?
        .status
        .context("no status")?;
    ensure!(status.instance_type.as_deref() == Some(H100), "{status:?}");
    let attempts: Vec<(&str, &str)> = status
        .attempts
        .iter()
        .map(|attempt| (attempt.instance_type.as_str(), attempt.reason.as_str()))
        .collect();
    ensure!(
        attempts == [(A10, "InstanceTypeRestricted"), (A100, "QuotaTooSmall")],
        "{attempts:?}"
    );
    ensure!(
        status.attempts[1]
            .message
            .ends_with("asked, 6 left in westeurope"),
        "{status:?}"
    );

    // A single type is asked for nevertheless, and the cloud has the last word.
    let alone = world.apply(&on("alone", A100)).await?;
    world
        .condition(&alone, "ResourceReady", "False", Some("SubscriptionQuotaReached"))
        .await?;
    shown(&stack).await?;
    for name in [one, ladder, alone] {
        world.delete(&name).await?;
    }
    Ok(())
}

async fn shown(stack: &Stack) -> Result<()> {
    let (_, text) = get(&stack.programs.metrics_url("provisioner")).await?;
    let line = |start: &str| {
        text.lines()
            .find(|line| line.starts_with(start))
            .map(str::to_owned)
    };
    let used = r#"kaito_quota_vcpus{family="StandardncadsA100v4Family",kind="used"}"#;
    let found = text
        .lines()
        .find(|line| line.to_lowercase().starts_with(&used.to_lowercase()));
    ensure!(
        found.is_some_and(|line| line.ends_with(" 24.0") || line.ends_with(" 24")),
        "{text}"
    );
    ensure!(
        line("kaito_capacity_read_timestamp_seconds{list=\"quotas\"}").is_some(),
        "{text}"
    );
    ensure!(
        line("kaito_capacity_reads_total{list=\"instance_types\",result=\"ok\"}").is_some(),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn without_the_right_to_read_them_everything_works_as_before() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let cloud = world.cloud()?;
    published(&world, |record| record.instance_type(A100).is_some()).await?;
    for verb in [Verb::Skus, Verb::Usages] {
        let forbidden = FaultRule::once(verb, Action::respond(Named::Forbidden));
        cloud.add_fault(&forbidden.times(1_000)).await?;
    }
    restart_provisioner(env, &mut stack).await?;
    let name = world.apply(&world.inference("plain")).await?;
    world.ready(&name).await?;
    let (_, text) = get(&stack.programs.metrics_url("provisioner")).await?;
    ensure!(
        text.contains("kaito_capacity_reads_total{list=\"quotas\",result=\"unauthorized\"}"),
        "{text}"
    );
    ensure!(!text.contains("kaito_quota_vcpus{"), "{text}");
    let log = stack.provisioner.log_text()?;
    ensure!(
        log.matches("failed to read quota or instance types").count() == 2,
        "{log}"
    );
    world.delete(&name).await
}

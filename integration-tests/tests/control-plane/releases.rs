//! Two releases in two namespaces: Helm refuses the second, and so do its programs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use local_cluster::{ClusterOptions, Tier};
use testkit::{Helm, NAMESPACE, Stack, StackOptions, TestEnv};

use crate::probes::get;
use crate::world::LIMIT;

const OTHER: &str = "kaito-too";

#[tokio::test]
async fn a_second_release_in_another_namespace_is_refused() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::ControlPlaneOnly)).await?,
    ));
    let stack = Stack::start(env, StackOptions::default()).await?;
    let client = env.client().await?;
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(OTHER.to_owned());
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await?;

    let refusal = Helm::of(env).await?.install_as("second", OTHER).await;
    let refusal = format!("{:#}", refusal.err().context("Helm installed a second release")?);
    ensure!(refusal.contains("kaito-release"), "{refusal}");

    let mut second = stack.programs.replica()?;
    second.lead_in(OTHER);
    for (name, program) in [
        ("controller", second.start_controller(env)?),
        ("provisioner", second.start_provisioner(env)?),
    ] {
        let url = second.probe_url(name, "readyz");
        testkit::eventually("a refusal", LIMIT, async || {
            let (status, body) = get(&url).await?;
            ensure!(
                status == 503 && body.contains(NAMESPACE) && body.contains(OTHER),
                "{status} {body}"
            );
            Ok(())
        })
        .await?;
        ensure!(
            program.log_text()?.contains("uninstall one of them"),
            "the log is silent"
        );
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let leases: Api<Lease> = Api::namespaced(client, OTHER);
    let leases = leases.list(&kube::api::ListParams::default()).await?.items;
    ensure!(leases.is_empty(), "the second release leads: {leases:?}");
    Ok(())
}

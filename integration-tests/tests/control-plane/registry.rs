//! The preset registry's certificates and callers, on a real API server and under the roles of the chart.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use local_cluster::{ClusterOptions, Tier};
use preset_registry_api::published;
use preset_registry_api::v1::GetPresetRequest;
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use serde_json::json;
use testkit::{AUTHORITY, NAMESPACE, Program, REGISTRY_HOST, Stack, StackOptions, TestEnv};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};

use crate::world::{LIMIT, World};

/// Renewed after half of it.
const LIFETIME_SECONDS: u32 = 40;

/// A system whose certificates end soon.
async fn own() -> Result<(&'static TestEnv, Stack)> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        certificate_lifetime_seconds: LIFETIME_SECONDS,
        ..StackOptions::default()
    };
    Ok((env, Stack::start(env, options).await?))
}

fn config_maps(world: &World) -> Api<ConfigMap> {
    Api::namespaced(world.client.clone(), NAMESPACE)
}

/// The published authorities.
async fn authorities(world: &World) -> Result<BTreeMap<String, String>> {
    let found = config_maps(world).get(AUTHORITY).await?;
    found.data.context("the ConfigMap has no data")
}

/// Asks for a preset with this token, trusting these authorities.
async fn ask(
    address: &str,
    trusted: &BTreeMap<String, String>,
    token: Option<&str>,
) -> std::result::Result<(), tonic::Status> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let trusted = published::authorities(trusted, now);
    let tls = ClientTlsConfig::new().ca_certificates(trusted.into_iter().map(Certificate::from_pem));
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .unwrap()
        .timeout(Duration::from_secs(10))
        .tls_config(tls)
        .unwrap();
    let mut request = Request::new(GetPresetRequest {
        name: "phi-4".to_owned(),
    });
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let mut client = PresetRegistryClient::new(endpoint.connect_lazy());
    client.get_preset(request).await.map(drop)
}

fn code(answer: std::result::Result<(), tonic::Status>) -> Code {
    answer.map_or_else(|status| status.code(), |()| Code::Ok)
}

#[tokio::test]
async fn only_accounts_with_the_right_use_the_registry() -> Result<()> {
    let (env, stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let address = stack.programs.registry_address();
    let trusted = env
        .eventually("an authority", LIMIT, async || authorities(&world).await)
        .await?;
    let asked = async |token: Option<&str>| code(ask(&address, &trusted, token).await);
    ensure!(asked(None).await == Code::Unauthenticated);
    let controller = std::fs::read_to_string(stack.programs.registry_token())?;
    ensure!(asked(Some(&controller)).await == Code::Ok);
    let token = async |account: &str, audience: &str| {
        env.service_account_token(NAMESPACE, account, audience, 3600)
            .await
    };
    // The token that every pod of this account has is for the API server.
    let other = token("workspace-controller", "https://kubernetes.default.svc").await?;
    ensure!(asked(Some(&other)).await == Code::Unauthenticated);
    let reader = token("preset-reader", REGISTRY_HOST).await?;
    ensure!(asked(Some(&reader)).await == Code::Ok);
    // The signature is the API server's matter.
    let (unsigned, _) = reader.rsplit_once('.').context("not a token")?;
    let forged = format!("{unsigned}.AAAA");
    ensure!(asked(Some(&forged)).await == Code::Unauthenticated);

    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), &world.namespace);
    let tenant = serde_json::from_value(json!({"metadata": {"name": "tenant"}}))?;
    accounts.create(&PostParams::default(), &tenant).await?;
    let tenant = env
        .service_account_token(&world.namespace, "tenant", REGISTRY_HOST, 3600)
        .await?;
    let refused = ask(&address, &trusted, Some(&tenant)).await.unwrap_err();
    ensure!(refused.code() == Code::PermissionDenied, "{refused}");
    ensure!(refused.message().contains("presets.kaito.sh"), "{refused}");
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), NAMESPACE);
    let binding = serde_json::from_value(json!({
        "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "kaito-preset-registry-caller"},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": world.namespace}],
    }))?;
    bindings.create(&PostParams::default(), &binding).await?;
    env.eventually("the right to be noticed", LIMIT, async || {
        ask(&address, &trusted, Some(&tenant)).await.context("refused")
    })
    .await?;
    people_get_a_token(env, &address).await
}

/// `kubectl kaito` finds authority, audience and token by itself.
async fn people_get_a_token(env: &TestEnv, address: &str) -> Result<()> {
    let ask = |account: &str| {
        Program::named("kubectl-kaito")
            .args([
                "presets",
                "show",
                "phi-4",
                "--registry",
                &format!("https://{address}"),
            ])
            .args(["--registry-account", account])
            .env("NO_PROXY", "*")
            .kubeconfig(&env.cluster().kubeconfig())
            .start(env)
    };
    let mut shown = ask("preset-reader")?;
    let status = shown.wait(LIMIT).await?;
    ensure!(status.success(), "{}", shown.log_text()?);
    ensure!(
        shown.log_text()?.contains("microsoft/phi-4"),
        "{}",
        shown.log_text()?
    );
    let mut refused = ask("gpu-provisioner")?;
    let status = refused.wait(LIMIT).await?;
    ensure!(status.code() == Some(2), "{}", refused.log_text()?);
    ensure!(
        refused.log_text()?.contains("--registry-account"),
        "{}",
        refused.log_text()?
    );
    Ok(())
}

#[tokio::test]
async fn certificates_are_renewed_and_replicas_come_and_go() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let address = stack.programs.registry_address();
    let token = std::fs::read_to_string(stack.programs.registry_token())?;
    let first = env
        .eventually("an authority", LIMIT, async || authorities(&world).await)
        .await?;
    let before = world.apply(&world.inference("before")).await?;
    world.ready(&before).await?;

    // A second replica has a key of its own; it is killed, so it cannot remove its authority.
    let [port] = testkit::reserve_ports::<1>()?;
    let second = format!("127.0.0.1:{port}");
    let mut replica = stack.programs.start_registry_replica(env, &second, "second")?;
    env.eventually("the second replica", LIMIT, async || {
        let trusted = authorities(&world).await?;
        ensure!(trusted.len() == 2, "{:?}", trusted.keys());
        ask(&second, &trusted, Some(&token)).await.context("the second")?;
        ask(&address, &trusted, Some(&token)).await.context("the first")
    })
    .await?;
    replica.kill9()?;
    // Someone spoils the ConfigMap; it is mended.
    let spoil = json!({"data": {"kaito-preset-registry-0.crt": "nonsense"}});
    config_maps(&world)
        .patch(AUTHORITY, &PatchParams::default(), &Patch::Merge(&spoil))
        .await?;
    env.eventually("the first certificate to be renewed twice", LIMIT, async || {
        let now = authorities(&world).await?;
        ensure!(
            !now.contains_key("second.crt"),
            "the killed replica's authority stays"
        );
        ask(&address, &now, Some(&token)).await?;
        let stale = code(ask(&address, &first, Some(&token)).await);
        ensure!(stale != Code::Ok, "the first certificate is still served");
        Ok(())
    })
    .await?;
    // The controller followed: this preset is not one that it has looked up.
    let during = world.apply(&world.inference("during")).await?;
    world.ready(&during).await?;

    stack.registry.terminate()?;
    stack.registry.wait(LIMIT).await?;
    ensure!(
        config_maps(&world)
            .get(AUTHORITY)
            .await?
            .data
            .unwrap_or_default()
            .is_empty(),
        "a replica that ends removes its authority"
    );
    stack.registry = stack.programs.start_registry(env)?;
    env.eventually("the restarted registry", LIMIT, async || {
        ask(&address, &authorities(&world).await?, Some(&token))
            .await
            .context("refused")
    })
    .await?;
    let after = world.apply(&world.inference("after")).await?;
    world.ready(&after).await?;
    stack.ensure_running()?;
    for name in [before, during, after] {
        world.delete(&name).await?;
    }
    Ok(())
}

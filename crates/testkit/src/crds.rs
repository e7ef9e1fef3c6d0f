//! Installs our custom resource definitions and waits until the API server serves them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use kube::{Api, Client, ResourceExt as _};

const LIMIT: Duration = Duration::from_secs(30);

/// Applies every definition of `kaito-api` and waits until each is established. May be called again.
///
/// # Errors
/// When the API server rejects a definition or does not establish it in time.
pub async fn install_crds(client: Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client);
    try_join_all(kaito_api::crd::all().iter().map(|crd| install(&api, crd))).await?;
    Ok(())
}

async fn install(api: &Api<CustomResourceDefinition>, crd: &CustomResourceDefinition) -> Result<()> {
    let name = crd.name_any();
    let parameters = PatchParams::apply("testkit").force();
    api.patch(&name, &parameters, &Patch::Apply(crd))
        .await
        .with_context(|| format!("failed to apply {name}"))?;
    let established = await_condition(api.clone(), &name, is_crd_established());
    tokio::time::timeout(LIMIT, established)
        .await
        .with_context(|| format!("{name} is not established after {LIMIT:?}"))??;
    Ok(())
}

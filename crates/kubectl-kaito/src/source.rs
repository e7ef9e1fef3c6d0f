//! Source of presets and fits: the built-in catalog or a registry.

use std::time::Duration;

use admission::table::Unlisted;
use anyhow::{Context as _, anyhow, bail};
use instance_types::{Cloud, InstanceType, did_you_mean};
use preset_catalog::estimate::EngineOptions;
use preset_catalog::fit::{FitOptions, FitReport, Purpose, compare_instance_types};
use preset_catalog::{Catalog, Preset};
use preset_registry_api::v1;
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::args::RegistryArgs;
use crate::own_types;
use crate::registry_access::{RegistryAccess, ShowToken};

/// Timeout of requests; a registry that queries a hub may be slow.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PAGE: i32 = 200;

type RegistryClient = PresetRegistryClient<InterceptedService<Channel, ShowToken>>;

/// Source of presets and fits.
#[derive(Debug)]
pub(crate) enum PresetSource {
    /// The built-in catalog, and these instance types.
    Embedded(instance_types::Catalog),
    /// A preset registry.
    Registry(Box<RegistryClient>),
}

/// Request for a plan.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) preset: &'a str,
    pub(crate) cloud: Cloud,
    /// Instance types to compare; empty means all of the cloud.
    pub(crate) instance_types: &'a [String],
    pub(crate) context_tokens: u32,
    pub(crate) options: FitOptions,
}

impl PresetSource {
    /// Creates the source that the flags select, without a connection to the registry.
    ///
    /// # Errors
    /// Fails if the URL is invalid, or there is no trust in an https registry.
    pub(crate) async fn of(args: &RegistryArgs) -> anyhow::Result<Self> {
        let Some(address) = &args.registry else {
            return Ok(Self::Embedded(own_types::load(&args.instance_type_tables)?));
        };
        let mut endpoint = Endpoint::from_shared(address.clone())
            .with_context(|| format!("--registry {address} must be a URL"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        let mut token = ShowToken::default();
        if address.starts_with("https:") {
            let access = RegistryAccess::of(args).await?;
            endpoint = endpoint
                .tls_config(access.tls)
                .context("failed to use the authorities of the registry")?;
            token = access.token;
        } else if args.registry_ca_file.is_some() || args.registry_token_file.is_some() {
            bail!("--registry {address} must be an https URL: a token must not be sent unencrypted");
        }
        let client = PresetRegistryClient::with_interceptor(endpoint.connect_lazy(), token);
        Ok(Self::Registry(Box::new(client)))
    }

    /// Returns all presets, sorted by name.
    ///
    /// # Errors
    /// Fails if the registry does not respond.
    pub(crate) async fn presets(&self) -> anyhow::Result<Vec<Preset>> {
        match self {
            Self::Embedded(_) => Ok(embedded()?.iter().cloned().collect()),
            Self::Registry(client) => listed(client).await,
        }
    }

    /// Returns the preset with this name.
    ///
    /// # Errors
    /// Fails if the preset is unknown or the registry does not respond.
    pub(crate) async fn preset(&self, name: &str) -> anyhow::Result<Preset> {
        match self {
            Self::Embedded(_) => found(name).cloned(),
            Self::Registry(client) => {
                let request = v1::GetPresetRequest {
                    name: name.to_owned(),
                };
                let answer = client
                    .clone()
                    .get_preset(request)
                    .await
                    .map_err(refusal)?
                    .into_inner();
                let preset = answer.preset.context("the registry's response has no preset")?;
                Ok(Preset::try_from(preset)?)
            }
        }
    }

    /// Returns the plan for a preset.
    ///
    /// # Errors
    /// Fails if the preset or instance type is unknown, or the registry does not respond.
    pub(crate) async fn plan(&self, question: &Question<'_>) -> anyhow::Result<FitReport> {
        match self {
            Self::Embedded(known) => {
                let types = chosen(known, question.cloud, question.instance_types)?;
                let preset = found(question.preset)?;
                Ok(compare_instance_types(
                    preset,
                    &types,
                    question.context_tokens,
                    &question.options,
                ))
            }
            // Settings of an engine are no part of the contract: the estimator is the same here.
            Self::Registry(_) if question.options.settings != EngineOptions::DEFAULT => {
                let known = self.instance_types(question.cloud).await?;
                let types = chosen(&known, question.cloud, question.instance_types)?;
                let preset = self.preset(question.preset).await?;
                let (tokens, options) = (question.context_tokens, &question.options);
                Ok(compare_instance_types(&preset, &types, tokens, options))
            }
            Self::Registry(client) => planned(client, request(question)).await,
        }
    }

    /// Returns the instance types: the built-in ones and those of the administrator, of this cloud at least.
    ///
    /// # Errors
    /// Fails if the registry does not respond.
    pub(crate) async fn instance_types(&self, cloud: Cloud) -> anyhow::Result<instance_types::Catalog> {
        let client = match self {
            Self::Embedded(types) => return Ok(types.clone()),
            Self::Registry(client) => client,
        };
        let presets = client
            .clone()
            .list_presets(v1::ListPresetsRequest {
                page_size: 1,
                ..v1::ListPresetsRequest::default()
            })
            .await
            .map_err(refusal)?
            .into_inner()
            .presets;
        let built_in = own_types::load(&[])?;
        let Some(preset) = presets.into_iter().next() else {
            return Ok(built_in);
        };
        // A plan lists every instance type of the cloud, whatever the preset.
        let request = v1::PlanResourcesRequest {
            model: Some(v1::plan_resources_request::Model::Name(preset.name)),
            cloud: cloud.to_string(),
            ..v1::PlanResourcesRequest::default()
        };
        let candidates = planned(client, request).await?.candidates;
        Ok(built_in.with_types(candidates.into_iter().map(|candidate| candidate.instance_type)))
    }

    /// Returns all presets as a catalog, and the treatment of names outside it.
    ///
    /// # Errors
    /// Fails if the registry does not respond.
    pub(crate) async fn catalog(&self) -> anyhow::Result<(Catalog, Unlisted)> {
        match self {
            Self::Embedded(_) => Ok((embedded()?.clone(), Unlisted::Refused)),
            Self::Registry(client) => {
                let request = v1::GetCatalogStatusRequest {};
                let status = client
                    .clone()
                    .get_catalog_status(request)
                    .await
                    .map_err(refusal)?
                    .into_inner();
                let catalog = Catalog::from_presets(listed(client).await?, status.catalog_version)?;
                let unlisted = if status.hub_endpoint.is_empty() {
                    Unlisted::Refused
                } else {
                    Unlisted::MayBeOnHub
                };
                Ok((catalog, unlisted))
            }
        }
    }
}

fn embedded() -> anyhow::Result<&'static Catalog> {
    Catalog::embedded().context("the built-in catalog is invalid")
}

fn found(name: &str) -> anyhow::Result<&'static Preset> {
    let catalog = embedded()?;
    catalog
        .find(name)
        .ok_or_else(|| unknown("preset", name, &catalog.near(name)))
}

fn unknown(what: &str, name: &str, near: &[&str]) -> anyhow::Error {
    anyhow!("unknown {what} {name}{}", did_you_mean::hint(near))
}

/// The named instance types of a cloud; all without names.
fn chosen<'a>(
    known: &'a instance_types::Catalog,
    cloud: Cloud,
    names: &[String],
) -> anyhow::Result<Vec<&'a InstanceType>> {
    if names.is_empty() {
        return Ok(known.of(cloud).collect());
    }
    let lookup = |name: &String| {
        let found = known.lookup(cloud, name);
        found.ok_or_else(|| {
            unknown(
                &format!("instance type of {cloud} named"),
                name,
                &known.near(cloud, name),
            )
        })
    };
    names.iter().map(lookup).collect()
}

fn request(question: &Question<'_>) -> v1::PlanResourcesRequest {
    let purpose = match question.options.purpose {
        Purpose::Inference => v1::PlanPurpose::Inference,
        Purpose::Tuning => v1::PlanPurpose::Tuning,
    };
    v1::PlanResourcesRequest {
        model: Some(v1::plan_resources_request::Model::Name(
            question.preset.to_owned(),
        )),
        cloud: question.cloud.to_string(),
        instance_types: question.instance_types.to_vec(),
        context_tokens: question.context_tokens,
        max_nodes: question.options.max_nodes.unwrap_or(0),
        purpose: purpose.into(),
    }
}

async fn planned(client: &RegistryClient, request: v1::PlanResourcesRequest) -> anyhow::Result<FitReport> {
    let answer = client
        .clone()
        .plan_resources(request)
        .await
        .map_err(refusal)?
        .into_inner();
    let plan = answer.plan.context("the registry's response has no plan")?;
    Ok(FitReport::try_from(plan)?)
}

async fn listed(client: &RegistryClient) -> anyhow::Result<Vec<Preset>> {
    let mut presets = Vec::new();
    let mut request = v1::ListPresetsRequest {
        page_size: PAGE,
        ..v1::ListPresetsRequest::default()
    };
    loop {
        let page = client
            .clone()
            .list_presets(request.clone())
            .await
            .map_err(refusal)?
            .into_inner();
        for preset in page.presets {
            presets.push(Preset::try_from(preset)?);
        }
        if page.next_page_token.is_empty() {
            return Ok(presets);
        }
        request.page_token = page.next_page_token;
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err requires this signature")]
fn refusal(status: Status) -> anyhow::Error {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => anyhow!(
            "the registry refuses the caller: {}; see --registry-account and --registry-token-file",
            status.message()
        ),
        // The registry's message already has suggestions.
        Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition => anyhow!("{}", status.message()),
        code => anyhow!("the registry failed: {} ({code:?})", status.message()),
    }
}

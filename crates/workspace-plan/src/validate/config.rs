//! The ConfigMap that the Workspace names: checked before nodes are bought, and again whenever it changes.
//!
//! A model that runs does not depend on it any more. While the ConfigMap is missing or wrong, the model stays as it is.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use preset_catalog::engine_config::{EngineConfig, EngineConfigError, INFERENCE_CONFIG_KEY, UnknownFlags};
use preset_catalog::estimate::{EngineOptions, host_bytes};
use preset_catalog::training_config::{self, TRAINING_CONFIG_KEY};
use preset_catalog::{Preset, Runtime, TuningMethod};
use render::{Hardware, Tuner};

use crate::context::PlanContext;
use crate::metadata::annotation;
use crate::problem::Problem;
use crate::user_config::{self, ConfigLookup, MOST_USER_CONFIGS};

/// The user's settings of an engine, and the digest of their ConfigMap.
#[derive(Debug, Default)]
pub(super) struct UserSettings {
    pub(super) config: EngineConfig,
    /// Empty without a ConfigMap.
    pub(super) digest: String,
}

impl UserSettings {
    /// Settings of the engine that change the size.
    pub(super) fn options(&self, engine: Runtime) -> EngineOptions {
        match engine {
            Runtime::Vllm => self.config.options,
            Runtime::Native => EngineOptions {
                host: self.config.host,
                ..EngineOptions::DEFAULT
            },
        }
    }
}

/// Returns the settings that the ConfigMap of `inference.config` has.
pub(super) fn of_engine(context: &PlanContext<'_>, has_own_image: bool) -> Result<UserSettings, Problem> {
    let Some(config_map) = found(context)? else {
        return Ok(UserSettings::default());
    };
    let text = key(config_map, INFERENCE_CONFIG_KEY)?;
    // The engine of another image may know other flags.
    let unknown = if has_own_image {
        UnknownFlags::Passed
    } else {
        UnknownFlags::Refused
    };
    let config = EngineConfig::parse(text, unknown);
    Ok(UserSettings {
        config: config.map_err(|error| of_error(config_map, &error))?,
        digest: user_config::digest(config_map).to_owned(),
    })
}

/// Checks the settings against the model and its nodes.
pub(super) fn check(
    context: &PlanContext<'_>,
    settings: &UserSettings,
    preset: &Preset,
    hardware: &Hardware,
    engine: Runtime,
) -> Result<(), Problem> {
    let ConfigLookup::Found(config_map) = &context.observed.config else {
        return Ok(());
    };
    let checked = settings.config.check(preset, engine);
    checked.map_err(|error| of_error(config_map, &error))?;
    let asks_for_bfloat16 = settings
        .config
        .vllm
        .get("dtype")
        .is_some_and(|dtype| dtype == "bfloat16");
    if engine == Runtime::Vllm && asks_for_bfloat16 && !hardware.bfloat16 {
        let cause = format!(
            "vllm.dtype is bfloat16, which {} cannot compute in",
            hardware.gpu_model
        );
        return Err(invalid(config_map, INFERENCE_CONFIG_KEY, &cause));
    }
    check_template(config_map, settings, engine)?;
    check_offload(context, config_map, &settings.options(engine), hardware)
}

/// Checks that a chat template of the ConfigMap is there. Other templates are texts, or files of the image.
fn check_template(config_map: &ConfigMap, settings: &UserSettings, engine: Runtime) -> Result<(), Problem> {
    let (section, flags) = match engine {
        Runtime::Vllm => ("vllm", &settings.config.vllm),
        Runtime::Native => ("native", &settings.config.native),
    };
    let template = flags.get("chat-template").map(|text| text.trim());
    let mounted = format!("{}/", render::CONFIG);
    let Some(file) = template.and_then(|path| path.strip_prefix(&mounted)) else {
        return Ok(());
    };
    if user_config::may_have(config_map, file) {
        return Ok(());
    }
    let cause = format!("{section}.chat-template is {mounted}{file}, and the ConfigMap has no key {file:?}");
    Err(invalid(config_map, INFERENCE_CONFIG_KEY, &cause))
}

/// Checks the parameters of a tuning that has not started. A Job is never changed.
pub(super) fn check_tuning(
    context: &PlanContext<'_>,
    method: TuningMethod,
    tuner: Tuner,
) -> Result<(), Problem> {
    if context.job().is_some() {
        return Ok(());
    }
    let Some(config_map) = found(context)? else {
        return Ok(());
    };
    let text = key(config_map, TRAINING_CONFIG_KEY)?;
    let results = (tuner == Tuner::Scripts).then_some(render::TUNING_RESULTS);
    let checked = training_config::check(text, method, results);
    checked.map_err(|cause| invalid(config_map, TRAINING_CONFIG_KEY, &cause))
}

/// Digest of the ConfigMap that the Job of a tuning was made with, or will be; empty without one.
pub(super) fn tuning_digest(context: &PlanContext<'_>) -> String {
    let now = || match &context.observed.config {
        ConfigLookup::Found(config_map) => user_config::digest(config_map).to_owned(),
        _ => String::new(),
    };
    context
        .job()
        .map_or_else(now, |job| made_with(job).unwrap_or_default().to_owned())
}

/// Reports whether the ConfigMap of a tuning was edited after its Job was made.
pub(super) fn is_edited(context: &PlanContext<'_>) -> bool {
    let made_with = context.job().and_then(made_with);
    match &context.observed.config {
        ConfigLookup::Found(config_map) => {
            made_with.is_some_and(|made| made != user_config::digest(config_map))
        }
        _ => false,
    }
}

fn made_with(job: &Job) -> Option<&str> {
    let template = &job.spec.as_ref()?.template;
    annotation(template.metadata.as_ref()?, labels::CONFIG_HASH)
}

fn found<'a>(context: &PlanContext<'a>) -> Result<Option<&'a ConfigMap>, Problem> {
    let name = user_config::config_to_look_up(context.workspace()).unwrap_or_default();
    match &context.observed.config {
        ConfigLookup::NotNeeded => Ok(None),
        ConfigLookup::Found(config_map) => Ok(Some(config_map)),
        ConfigLookup::Asking => Err(Problem::new(
            WorkspaceReason::ConfigMapPending,
            format!("waiting for ConfigMap {name}"),
        )),
        ConfigLookup::Missing => Err(Problem::new(
            WorkspaceReason::ConfigMapNotFound,
            format!("ConfigMap {name} does not exist"),
        )),
        ConfigLookup::TooMany => Err(Problem::new(
            WorkspaceReason::TooManyConfigMaps,
            format!(
                "ConfigMap {name} is not read: the Workspaces of the namespace name more than {MOST_USER_CONFIGS}"
            ),
        )),
    }
}

fn key<'a>(config_map: &'a ConfigMap, key: &str) -> Result<&'a str, Problem> {
    let text = user_config::text(config_map, key);
    text.ok_or_else(|| {
        let cause = format!("ConfigMap {} has no key {key}", name(config_map));
        Problem::new(WorkspaceReason::ConfigMapNotFound, cause)
    })
}

// The node's memory holds what the GPUs do not.
fn check_offload(
    context: &PlanContext<'_>,
    config_map: &ConfigMap,
    options: &EngineOptions,
    hardware: &Hardware,
) -> Result<(), Problem> {
    let kind = context.instance_type(&hardware.instance_type);
    let Some(available) = kind.and_then(host_bytes) else {
        return Ok(());
    };
    let needed = options.offload_bytes(hardware.gpu.gpus);
    if needed <= available {
        return Ok(());
    }
    let cause = format!(
        "vllm.cpu-offload-gb takes {} GiB of the memory of a node, and pods of {} may use {}",
        needed.div_ceil(1 << 30),
        hardware.instance_type,
        available >> 30
    );
    Err(invalid(config_map, INFERENCE_CONFIG_KEY, &cause))
}

fn of_error(config_map: &ConfigMap, error: &EngineConfigError) -> Problem {
    let problem = invalid(config_map, INFERENCE_CONFIG_KEY, &error.to_string());
    match error {
        EngineConfigError::Malformed(_) => problem,
        EngineConfigError::Refused { .. } => Problem::new(WorkspaceReason::EngineFlagRefused, problem.cause),
    }
}

fn invalid(config_map: &ConfigMap, key: &str, cause: &str) -> Problem {
    let cause = format!("ConfigMap {}, {key}: {cause}", name(config_map));
    Problem::new(WorkspaceReason::ConfigMapInvalid, cause)
}

fn name(config_map: &ConfigMap) -> &str {
    config_map.metadata.name.as_deref().unwrap_or_default()
}

//! The ConfigMap that a Workspace names: the checks that the controller makes before it buys nodes.

use preset_catalog::engine_config::{EngineConfig, INFERENCE_CONFIG_KEY, UnknownFlags};
use preset_catalog::training_config::{self, TRAINING_CONFIG_KEY};
use preset_catalog::{Catalog, Runtime, TuningMethod};
use serde_json::Value;

use crate::violation::{Origin, Violation};

/// Name of the ConfigMap that a Workspace names; `None` without one.
#[must_use]
pub fn config_of(workspace: &Value) -> Option<&str> {
    let section = if workspace["tuning"].is_object() {
        &workspace["tuning"]
    } else {
        &workspace["inference"]
    };
    section["preset"].is_object().then_some(())?;
    section["config"].as_str().filter(|name| !name.is_empty())
}

/// Reads the settings of an engine from the ConfigMap that a Workspace names.
///
/// # Errors
/// With the problem, for people.
pub fn engine_config(workspace: &Value, config_map: &Value) -> Result<EngineConfig, String> {
    let text = key(config_map, INFERENCE_CONFIG_KEY)?;
    let image = workspace["inference"]["preset"]["presetOptions"]["image"].as_str();
    let unknown = if image.unwrap_or_default().trim().is_empty() {
        UnknownFlags::Refused
    } else {
        UnknownFlags::Passed
    };
    EngineConfig::parse(text, unknown)
        .map_err(|error| named(config_map, INFERENCE_CONFIG_KEY, &error.to_string()))
}

/// Returns the problem of the ConfigMap that a Workspace names.
pub(crate) fn violation(presets: &Catalog, workspace: &Value, config_map: &Value) -> Option<Violation> {
    let is_tuning = workspace["tuning"].is_object();
    let checked = if is_tuning {
        check_tuning(workspace, config_map)
    } else {
        check_inference(presets, workspace, config_map)
    };
    let section = if is_tuning { "tuning" } else { "inference" };
    checked.err().map(|message| Violation {
        origin: Origin::ConfigMap,
        path: format!("{section}.config"),
        message,
        remedy: None,
    })
}

fn check_inference(presets: &Catalog, workspace: &Value, config_map: &Value) -> Result<(), String> {
    let config = engine_config(workspace, config_map)?;
    let name = workspace["inference"]["preset"]["name"].as_str();
    match name.and_then(|name| presets.find(name)) {
        Some(preset) => config
            .check(preset, Runtime::Vllm)
            .map_err(|error| named(config_map, INFERENCE_CONFIG_KEY, &error.to_string())),
        None => Ok(()),
    }
}

// Where the result is taken from depends on the tuner, which the nodes decide.
fn check_tuning(workspace: &Value, config_map: &Value) -> Result<(), String> {
    let text = key(config_map, TRAINING_CONFIG_KEY)?;
    let method = workspace["tuning"]["method"].as_str().unwrap_or_default();
    let mut methods = TuningMethod::ALL.into_iter();
    match methods.find(|known| known.as_str().eq_ignore_ascii_case(method)) {
        Some(method) => training_config::check(text, method, None)
            .map_err(|cause| named(config_map, TRAINING_CONFIG_KEY, &cause)),
        None => Ok(()),
    }
}

fn key<'a>(config_map: &'a Value, key: &str) -> Result<&'a str, String> {
    let text = config_map["data"][key].as_str();
    text.ok_or_else(|| named(config_map, key, "the key must exist"))
}

fn named(config_map: &Value, key: &str, problem: &str) -> String {
    let name = config_map["metadata"]["name"].as_str().unwrap_or_default();
    format!("ConfigMap {name}, {key}: {problem}")
}

//! Remedies from the catalog and the planner, for violations whose message names none.
//!
//! Adds text; it must not add or remove violations.

use preset_catalog::Preset;
use preset_catalog::estimate::DEFAULT_CONTEXT_TOKENS;
use preset_catalog::fit::{FitOptions, Purpose, compare_instance_types};
use serde_json::Value;

use crate::settings::Settings;
use crate::violation::{Origin, Violation};

/// Adds remedies to the violations of the catalog policy.
pub(crate) fn add(settings: &Settings<'_>, object: &Value, violations: &mut [Violation]) {
    for violation in violations
        .iter_mut()
        .filter(|found| found.origin == Origin::CatalogPolicy)
    {
        violation.remedy = match violation.path.as_str() {
            "preset.name" => near_presets(settings, object),
            "resource.instanceType" => near_types(settings, object).or_else(|| best(settings, object)),
            _ => None,
        };
    }
}

fn wanted(object: &Value) -> Option<&str> {
    ["inference", "tuning"]
        .into_iter()
        .find_map(|section| object[section]["preset"]["name"].as_str())
}

fn near_presets(settings: &Settings<'_>, object: &Value) -> Option<String> {
    did_you_mean(&settings.presets.near(wanted(object)?))
}

fn near_types(settings: &Settings<'_>, object: &Value) -> Option<String> {
    let names = object["resource"]["instanceType"].as_str()?;
    let cloud = settings.options.cloud;
    let is_unknown = |name: &&str| settings.instance_types.lookup(cloud, name).is_none();
    let unknown = names.split(',').map(str::trim).find(is_unknown)?;
    did_you_mean(&settings.instance_types.near(cloud, unknown))
}

fn did_you_mean(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(", ")))
}

/// Describes the cheapest instance type for the requested preset.
fn best(settings: &Settings<'_>, object: &Value) -> Option<String> {
    let preset: &Preset = settings.presets.find(wanted(object)?)?;
    let types: Vec<_> = settings.instance_types.of(settings.options.cloud).collect();
    let purpose = if object["tuning"].is_object() {
        Purpose::Tuning
    } else {
        Purpose::Inference
    };
    let options = FitOptions {
        purpose,
        engine: settings.options.engine,
        ..FitOptions::default()
    };
    let asked = object["metadata"]["annotations"][kaito_api::labels::MAX_CONTEXT].as_str();
    let context = asked
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT_CONTEXT_TOKENS);
    let plan = compare_instance_types(preset, &types, context, &options);
    let (instance_type, fit) = plan.best()?;
    let nodes = fit.placement.nodes;
    let name = &instance_type.name;
    let price = fit.usd_micros_per_hour.map_or_else(String::new, |price| {
        format!(", ${} an hour", instance_types::dollars(price))
    });
    Some(if nodes == 1 {
        format!("the least costly of which one node suffices is {name}{price}")
    } else {
        format!("no single node suffices; the least costly that fits is {nodes} nodes of {name}{price}")
    })
}

//! Remedies from the catalog and the planner, for violations whose message names none.
//!
//! Adds text; it must not add or remove violations.

use preset_catalog::Preset;
use preset_catalog::estimate::DEFAULT_CONTEXT_TOKENS;
use preset_catalog::fit::{FitOptions, Purpose, compare_instance_types};
use serde_json::Value;

use crate::settings::Settings;
use crate::violation::{Origin, Violation};

/// Adds remedies to the violations of the catalog policy. Its messages name similar presets and instance types.
pub(crate) fn add(settings: &Settings<'_>, object: &Value, violations: &mut [Violation]) {
    for violation in violations
        .iter_mut()
        .filter(|found| found.origin == Origin::CatalogPolicy)
    {
        if violation.path == "resource.instanceType" {
            violation.remedy = best(settings, object);
        }
    }
}

fn wanted(object: &Value) -> Option<&str> {
    ["inference", "tuning"]
        .into_iter()
        .find_map(|section| object[section]["preset"]["name"].as_str())
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

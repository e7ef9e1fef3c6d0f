//! The catalog as keys and values of a ConfigMap, in the format that [`crate::CATALOG`] reads.
//!
//! `preset_catalog::fit` decides what fits; the table stores its results. Equal catalogs give equal tables. This module
//! must not know Kubernetes; preset-registry publishes the table.
//!
//! | key | value |
//! |---|---|
//! | `format`, `version`, `cloud` | [`FORMAT`], the version of the catalog, the cloud of the instance types |
//! | `open` | `no`; `hub` if names with a slash may exist on a model hub; `all` if the table holds no presets |
//! | `default-context` | context in tokens if the Workspace sets none |
//! | `instance-types`, `gpu-instance-types` | names, cheapest first; the second holds types with NVIDIA GPUs only |
//! | `instance-type.NAME` | index in `instance-types`, NVIDIA GPUs, GiB of GPU memory of a node |
//! | `presets`, `tunable` | short names of usable presets, and of tunable ones |
//! | `preset.NAME` | short name of the preset with that name, alias or hub id, in lower case with `..` for `/` |
//! | `runtimes.SHORT`, `tuning.SHORT` | engines that serve it, methods that tune it; absent if there are none |
//! | `vllm.SHORT`, `native.SHORT` | the longest context that fits each instance type, or 0 |
//! | `best-vllm.SHORT`, `best-native.SHORT` | the cheapest nodes that hold the default context, as text |
//! | `context.SHORT`, `memory.SHORT` | the model's maximum context; the least GiB of GPU memory on any type |
//! | `cpu.SHORT`, `deprecated.SHORT` | `true` if it runs without a GPU; the reason why it is deprecated |
//! | `gated.SHORT` | `true` if the weights are downloaded from a hub that asks for a token |

use std::collections::BTreeMap;

use instance_types::{Cloud, InstanceType};
use preset_catalog::estimate::DEFAULT_CONTEXT_TOKENS;
use preset_catalog::fit::{Candidate, FitOptions, FitOutcome, FitReport, Remedy, compare_instance_types};
use preset_catalog::{Catalog, Preset, Runtime};

/// Version of the format; it changes if an older policy would misread a newer table.
pub(crate) const FORMAT: &str = "1";

/// Most bytes of keys and values: the API server accepts objects of a little over 1 MiB.
pub const MAX_BYTES: usize = 900 * 1024;

/// Treatment of names outside the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// They are rejected.
    Refused,
    /// Names of the form `owner/repository` may exist on a model hub.
    MayBeOnHub,
}

/// Source of the weights that Workspaces download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightSource {
    /// The hub that the catalog describes: it asks for a token for gated models.
    #[default]
    Hub,
    /// A mirror, which asks for none.
    Mirror,
}

/// Builds the table of a catalog for one cloud.
///
/// If the table would exceed [`MAX_BYTES`], the result has no presets and rejects none.
#[must_use]
pub fn table(
    presets: &Catalog,
    instance_types: &instance_types::Catalog,
    cloud: Cloud,
    unlisted: Unlisted,
    weights: WeightSource,
) -> BTreeMap<String, String> {
    let types = ranked(instance_types, cloud);
    let head = head(presets, &types, cloud);
    let mut table = head.clone();
    let open = match unlisted {
        Unlisted::Refused => "no",
        Unlisted::MayBeOnHub => "hub",
    };
    table.insert("open".to_owned(), open.to_owned());
    for preset in presets.iter() {
        table.extend(entries(preset, &types, weights));
    }
    let usable = || presets.iter().filter(|preset| preset.deprecated.is_none());
    table.insert("presets".to_owned(), names(usable()));
    table.insert(
        "tunable".to_owned(),
        names(usable().filter(|preset| preset.tuning.is_some())),
    );
    if bytes(&table) <= MAX_BYTES {
        return table;
    }
    let mut without = head;
    without.insert("open".to_owned(), "all".to_owned());
    without.insert("presets".to_owned(), String::new());
    without
}

fn bytes(table: &BTreeMap<String, String>) -> usize {
    table.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn names<'a>(presets: impl Iterator<Item = &'a Preset>) -> String {
    let names: Vec<&str> = presets.map(|preset| preset.name.as_str()).collect();
    names.join(",")
}

/// Sorts types: NVIDIA GPUs first, then by list price (unknown last) and name.
fn ranked(instance_types: &instance_types::Catalog, cloud: Cloud) -> Vec<&InstanceType> {
    let mut types: Vec<&InstanceType> = instance_types.of(cloud).collect();
    types.sort_by_key(|instance_type| {
        let price = instance_type
            .list_price
            .as_ref()
            .map(|price| price.usd_micros_per_hour);
        let without_gpu = instance_type.nvidia_gpus() == 0;
        (without_gpu, price.is_none(), price, instance_type.name.clone())
    });
    types
}

fn head(presets: &Catalog, types: &[&InstanceType], cloud: Cloud) -> BTreeMap<String, String> {
    let joined = |types: &mut dyn Iterator<Item = &&InstanceType>| {
        let names: Vec<&str> = types.map(|instance_type| instance_type.name.as_str()).collect();
        names.join(",")
    };
    let mut table: BTreeMap<String, String> = [
        ("format", FORMAT.to_owned()),
        ("version", presets.version().to_owned()),
        ("cloud", cloud.to_string()),
        ("default-context", DEFAULT_CONTEXT_TOKENS.to_string()),
        ("instance-types", joined(&mut types.iter())),
        (
            "gpu-instance-types",
            joined(
                &mut types
                    .iter()
                    .filter(|instance_type| instance_type.nvidia_gpus() > 0),
            ),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    table.extend(types.iter().enumerate().map(|(place, instance_type)| {
        let gpus = instance_type.nvidia_gpus();
        let memory = if gpus > 0 {
            instance_type.gpu_memory_gib_total
        } else {
            0
        };
        let key = format!("instance-type.{}", instance_type.name.to_lowercase());
        (key, format!("{place} {gpus} {memory}"))
    }));
    table
}

fn entries(preset: &Preset, types: &[&InstanceType], weights: WeightSource) -> Vec<(String, String)> {
    let short = preset.name.as_str();
    let names = [short, preset.hub_id.as_str()]
        .into_iter()
        .chain(preset.aliases.iter().map(String::as_str));
    let mut entries: Vec<(String, String)> = names
        .map(|name| {
            (
                format!("preset.{}", name.to_lowercase().replace('/', "..")),
                short.to_owned(),
            )
        })
        .collect();
    let mut add = |key: &str, value: String| entries.push((format!("{key}.{short}"), value));
    if let Some(why) = &preset.deprecated {
        // The message of a policy must be one line.
        add("deprecated", why.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if preset.gated && weights == WeightSource::Hub {
        add("gated", "true".to_owned());
    }
    if let Some(tuning) = &preset.tuning {
        let methods: Vec<&str> = tuning.methods.iter().map(|method| method.as_str()).collect();
        add("tuning", methods.join(","));
    }
    let Some(profile) = &preset.inference else {
        return entries;
    };
    let runtimes: Vec<&str> = profile.runtimes.iter().map(|runtime| runtime.as_str()).collect();
    add("runtimes", runtimes.join(","));
    add("context", preset.shape.max_context_tokens.to_string());
    if profile.cpu {
        add("cpu", "true".to_owned());
    }
    for runtime in &profile.runtimes {
        add(runtime.as_str(), contexts(preset, *runtime, types));
        let best = best(preset, *runtime, types);
        if !best.is_empty() {
            add(&format!("best-{}", runtime.as_str()), best);
        }
    }
    let memory = least_gpu_memory_gib(preset, types);
    entries.extend(memory.map(|gib| (format!("memory.{short}"), gib.to_string())));
    entries
}

fn options(runtime: Runtime) -> FitOptions {
    FitOptions {
        // The native engine uses one node.
        max_nodes: (runtime == Runtime::Native).then_some(1),
        ..FitOptions::default()
    }
}

/// The first three results of the planner that this runtime can use.
fn best(preset: &Preset, runtime: Runtime, types: &[&InstanceType]) -> String {
    let plan = compare_instance_types(preset, types, DEFAULT_CONTEXT_TOKENS, &options(runtime));
    let usable = plan
        .fits()
        .filter(|(_, fit)| runtime == Runtime::Native || fit.gpus > 0);
    let words = usable.take(3).map(|(instance_type, fit)| {
        let nodes = fit.placement.nodes;
        let plural = if nodes == 1 { "" } else { "s" };
        format!("{nodes} node{plural} of {}", instance_type.name)
    });
    words.collect::<Vec<_>>().join(" or ")
}

/// Longest context that fits each instance type, in the order of the types.
fn contexts(preset: &Preset, runtime: Runtime, types: &[&InstanceType]) -> String {
    let limit = preset.shape.max_context_tokens;
    let plan = compare_instance_types(preset, types, limit, &options(runtime));
    let longest = |instance_type: &&InstanceType| {
        let usable = runtime == Runtime::Native || instance_type.nvidia_gpus() > 0;
        let tokens = of(&plan, instance_type)
            .filter(|_| usable)
            .map_or(0, |candidate| longest(candidate, limit));
        tokens.to_string()
    };
    types.iter().map(longest).collect::<Vec<_>>().join(",")
}

fn of<'a>(plan: &'a FitReport, instance_type: &InstanceType) -> Option<&'a Candidate> {
    plan.candidates
        .iter()
        .find(|candidate| candidate.instance_type.name == instance_type.name)
}

/// Longest context that fits, taken from the planner's remedy for a context that does not fit.
fn longest(candidate: &Candidate, limit: u32) -> u32 {
    match &candidate.outcome {
        FitOutcome::Fits(_) => limit,
        FitOutcome::Unfit(unfit) => unfit
            .remedies
            .iter()
            .find_map(|remedy| match remedy {
                Remedy::SmallerContext { context_tokens } => Some(*context_tokens),
                Remedy::MoreNodes { .. } | Remedy::OtherInstanceType { .. } => None,
            })
            .unwrap_or(0),
    }
}

/// Least GiB of GPU memory, over all types, of the nodes that hold a default context.
fn least_gpu_memory_gib(preset: &Preset, types: &[&InstanceType]) -> Option<u32> {
    let plan = compare_instance_types(preset, types, DEFAULT_CONTEXT_TOKENS, &FitOptions::default());
    plan.fits()
        .filter(|(_, fit)| fit.gpus > 0)
        .map(|(instance_type, fit)| {
            instance_type
                .gpu_memory_gib_total
                .saturating_mul(fit.placement.nodes)
        })
        .min()
}

#[cfg(test)]
mod tests {
    use preset_catalog::estimate::{GpuNode, Work, place};

    use super::*;

    fn embedded(cloud: Cloud) -> BTreeMap<String, String> {
        let types = instance_types::Catalog::embedded().unwrap();
        table(
            Catalog::embedded().unwrap(),
            types,
            cloud,
            Unlisted::Refused,
            WeightSource::Hub,
        )
    }

    #[test]
    fn every_key_is_one_of_a_config_map_and_the_table_is_small() {
        for cloud in Cloud::ALL {
            let table = embedded(cloud);
            for key in table.keys() {
                let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
                assert!(key.len() <= 253 && key.chars().all(legal), "{key}");
            }
            assert!(bytes(&table) < 200 * 1024, "{cloud}: {} bytes", bytes(&table));
        }
    }

    #[test]
    fn a_mirror_asks_for_no_token() {
        let types = instance_types::Catalog::embedded().unwrap();
        let catalog = Catalog::embedded().unwrap();
        let of = |weights| table(catalog, types, Cloud::Azure, Unlisted::Refused, weights);
        let gated =
            |table: &BTreeMap<String, String>| table.keys().filter(|key| key.starts_with("gated.")).count();
        let hub = of(WeightSource::Hub);
        assert_eq!(hub["gated.llama-3.3-70b-instruct"], "true");
        assert!(!hub.contains_key("gated.phi-4"));
        assert_eq!(gated(&hub), catalog.iter().filter(|preset| preset.gated).count());
        assert_eq!(gated(&of(WeightSource::Mirror)), 0);
    }

    #[test]
    fn every_name_leads_to_its_preset() {
        let table = embedded(Cloud::Azure);
        assert_eq!(table["preset.phi-4"], "phi-4");
        assert_eq!(table["preset.microsoft..phi-4"], "phi-4");
        for preset in Catalog::embedded().unwrap().iter() {
            for alias in &preset.aliases {
                assert_eq!(table[&format!("preset.{}", alias.to_lowercase())], preset.name);
            }
        }
    }

    /// Request that the controller makes when it sizes the Workspace.
    #[test]
    fn contexts_are_where_placing_stops() {
        let table = embedded(Cloud::Azure);
        let types = instance_types::Catalog::embedded().unwrap();
        let order: Vec<&str> = table["instance-types"].split(',').collect();
        let mut checked = 0;
        for preset in Catalog::embedded().unwrap().iter() {
            let Some(row) = table.get(&format!("vllm.{}", preset.name)) else {
                continue;
            };
            let limit = preset.shape.max_context_tokens;
            for (name, longest) in order.iter().zip(row.split(',')) {
                let instance_type = types.lookup(Cloud::Azure, name).unwrap();
                let oldest = preset.inference.as_ref().unwrap().min_compute_capability;
                if oldest.is_some_and(|oldest| instance_type.compute_capability < Some(oldest)) {
                    assert_eq!(longest, "0");
                    continue;
                }
                let node = GpuNode::from(instance_type);
                let longest: u32 = longest.parse().unwrap();
                let fits = |context_tokens| place(preset, node, Work::Inference { context_tokens }).is_ok();
                assert!(longest == 0 || fits(longest), "{} on {name}", preset.name);
                assert!(
                    node.gpus == 0 || longest >= limit || !fits(longest + 1),
                    "{} on {name}",
                    preset.name
                );
                checked += 1;
            }
        }
        assert!(checked > 1000, "{checked}");
    }

    #[test]
    fn a_catalog_too_large_refuses_nobody() {
        let many: Vec<(String, String)> = (0..3000)
            .map(|n| {
                let text = format!(
                    "{{hub_id: acme/{n}-{}, license: mit, architecture: A, weights: 1Gi, max_context_tokens: 100000, \
                     kv_bytes_per_token: 1}}",
                    "x".repeat(40)
                );
                (format!("{n:05}.yaml"), text)
            })
            .collect();
        let built_in = Catalog::embedded().unwrap();
        let overlay = built_in
            .overlay(many.iter().map(|(name, text)| (name.as_str(), text.as_str())))
            .unwrap();
        let types = instance_types::Catalog::embedded().unwrap();
        let table = table(
            &overlay.catalog,
            types,
            Cloud::Aws,
            Unlisted::Refused,
            WeightSource::Hub,
        );
        assert_eq!(table["open"], "all");
        assert!(bytes(&table) < MAX_BYTES);
    }
}

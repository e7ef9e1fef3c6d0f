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
//! | `instance-types`, `suggested-types` | names, those with NVIDIA GPUs first, then cheapest first; those that are neither retired nor unsupported, by the alphabet |
//! | `gpu-instance-types` | those of them that can be bought and whose GPUs the image of the engine supports |
//! | `instance-type.NAME` | index in `instance-types`, NVIDIA GPUs, GiB of GPU memory of a node, compute capability, millionths of a dollar per hour; `-` if unknown |
//! | `engine-floor`, `too-old` | compute capability that the image of the engine needs; lower-case names of types below it |
//! | `unsupported.NAME` | reason for which no engine runs there, as a clause; absent if one does |
//! | `retired-instance-types` | `replace` or `refuse` |
//! | `retired.NAME` | day of the retirement, replacement for templates, replacement for tunings; `-` if there is none |
//! | `replaced.NAME.SHORT` | replacements, cheapest first: `TYPE:LONGEST` with the longest context on one node |
//! | `ceiling-workspace-nodes`, `ceiling-namespace-nodes` | most nodes; absent without a ceiling |
//! | `ceiling-workspace-usd`, `ceiling-namespace-usd` | highest list price in millionths of a dollar per hour; absent without a ceiling |
//! | `presets`, `tunable` | short names of usable presets, and of tunable ones |
//! | `preset.NAME` | short name of the preset with that name, alias or hub id, in lower case with `..` for `/` |
//! | `runtimes.SHORT`, `tuning.SHORT` | engines that serve it, methods that tune it; absent if there are none |
//! | `vllm.SHORT`, `native.SHORT` | the longest context that fits each instance type, or 0 |
//! | `best-vllm.SHORT`, `best-native.SHORT` | the cheapest nodes that hold the default context, as text |
//! | `nodes.SHORT` | nodes for the default context with vLLM on each instance type, or 0 |
//! | `context.SHORT`, `memory.SHORT` | the model's maximum context; the least GiB of GPU memory on any type |
//! | `toolkit.SHORT`, `cpu.SHORT`, `gated.SHORT`, `deprecated.SHORT` | `true` if it needs the CUDA toolkit, which the image of the engine lacks; `any` or `listed` if it runs without a GPU, on any type or on those of the table; `true` if a hub asks for a token before the weights are downloaded; the reason why it is deprecated |

mod options;
mod sizes;

use std::collections::BTreeMap;

use instance_types::{Ceiling, InstanceType};
use preset_catalog::estimate::DEFAULT_CONTEXT_TOKENS;
use preset_catalog::fit::like_for_like;
use preset_catalog::{Catalog, Preset, Runtime};

pub use options::{CeilingArgs, EngineImageArgs, TableOptions, Unlisted, VerdictArgs, WeightSource};
use sizes::Sizes;

/// Version of the format; it changes if an older policy would misread a newer table.
pub(crate) const FORMAT: &str = "1";

/// Most bytes of keys and values: the API server accepts objects of a little over 1 MiB.
pub const MAX_BYTES: usize = 900 * 1024;

/// Builds the table of a catalog for one cloud.
///
/// If the table would exceed [`MAX_BYTES`], the result has no presets and rejects none.
#[must_use]
pub fn table(
    presets: &Catalog,
    instance_types: &instance_types::Catalog,
    options: &TableOptions,
) -> BTreeMap<String, String> {
    let types = ranked(instance_types, options);
    let mut head = head(presets, &types, options);
    let suggestions = instance_types.suggestions(options.cloud);
    let suggested: Vec<&str> = suggestions.iter().map(|found| found.name.as_str()).collect();
    head.insert("suggested-types".to_owned(), suggested.join(","));
    let mut table = head.clone();
    let open = match options.unlisted {
        Unlisted::Refused => "no",
        Unlisted::MayBeOnHub => "hub",
    };
    table.insert("open".to_owned(), open.to_owned());
    for preset in presets.iter() {
        table.extend(entries(preset, &types, options));
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
fn ranked<'a>(instance_types: &'a instance_types::Catalog, options: &TableOptions) -> Vec<&'a InstanceType> {
    let mut types: Vec<&InstanceType> = instance_types.of(options.cloud).collect();
    types.sort_by_key(|instance_type| {
        let price = price(instance_type);
        let without_gpu = instance_type.nvidia_gpus() == 0;
        (without_gpu, price.is_none(), price, instance_type.name.clone())
    });
    types
}

fn price(instance_type: &InstanceType) -> Option<u64> {
    let price = instance_type.list_price.as_ref();
    price.map(|price| price.usd_micros_per_hour)
}

fn head(presets: &Catalog, types: &[&InstanceType], options: &TableOptions) -> BTreeMap<String, String> {
    let is_too_old = |found: &InstanceType| {
        found.compute_capability.is_some() && found.compute_capability < options.engine.min_compute_capability
    };
    let joined = |is_listed: &dyn Fn(&InstanceType) -> bool| {
        let listed = types.iter().filter(|found| is_listed(found));
        let names: Vec<&str> = listed.map(|found| found.name.as_str()).collect();
        names.join(",")
    };
    let is_usable =
        |found: &InstanceType| found.nvidia_gpus() > 0 && found.retired.is_none() && !is_too_old(found);
    let mut table: BTreeMap<String, String> = [
        ("format", FORMAT.to_owned()),
        ("version", presets.version().to_owned()),
        ("cloud", options.cloud.to_string()),
        ("default-context", DEFAULT_CONTEXT_TOKENS.to_string()),
        ("instance-types", joined(&|_| true)),
        ("gpu-instance-types", joined(&is_usable)),
        ("too-old", joined(&is_too_old).to_lowercase()),
        ("engine-floor", or_dash(options.engine.min_compute_capability)),
        ("retired-instance-types", options.retired.as_str().to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    table.extend(ceilings(options));
    for (place, found) in types.iter().enumerate() {
        let name = found.name.to_lowercase();
        table.insert(format!("instance-type.{name}"), facts(place, found));
        if let Some(why) = &found.unsupported {
            table.insert(format!("unsupported.{name}"), why.clone());
        }
        if let Some(retired) = &found.retired {
            let name_of = |found: Option<&InstanceType>| or_dash(found.map(|found| &found.name));
            let same = name_of(like_for_like(types, found, None));
            let tuning = name_of(like_for_like(types, found, options.engine.min_compute_capability));
            table.insert(
                format!("retired.{name}"),
                format!("{} {same} {tuning}", retired.since),
            );
        }
    }
    table
}

fn facts(place: usize, found: &InstanceType) -> String {
    let gpus = found.nvidia_gpus();
    let memory = if gpus > 0 { found.gpu_memory_gib_total } else { 0 };
    let (capability, price) = (or_dash(found.compute_capability), or_dash(price(found)));
    format!("{place} {gpus} {memory} {capability} {price}")
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn ceilings(options: &TableOptions) -> impl Iterator<Item = (String, String)> {
    let of = |whose: &str, ceiling: Ceiling| {
        let nodes = ceiling.nodes.map(|nodes| nodes.to_string());
        let usd = ceiling.usd_per_hour.map(|price| price.micros().to_string());
        [("nodes", nodes), ("usd", usd)]
            .map(|(what, value)| Some((format!("ceiling-{whose}-{what}"), value?)))
    };
    of("workspace", options.ceilings.workspace)
        .into_iter()
        .chain(of("namespace", options.ceilings.namespace))
        .flatten()
}

fn entries(preset: &Preset, types: &[&InstanceType], options: &TableOptions) -> Vec<(String, String)> {
    let engine = options.engine;
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
    if preset.gated && options.weights == WeightSource::Hub {
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
        let nodes = if preset.shape.is_small() { "any" } else { "listed" };
        add("cpu", nodes.to_owned());
    }
    if profile.needs_cuda_toolkit && !engine.cuda_toolkit {
        add("toolkit", "true".to_owned());
    }
    let sizes = Sizes { types, engine };
    for runtime in &profile.runtimes {
        add(runtime.as_str(), sizes.contexts(preset, *runtime));
        let best = sizes.best(preset, *runtime);
        if !best.is_empty() {
            add(&format!("best-{}", runtime.as_str()), best);
        }
    }
    if profile.runtimes.contains(&Runtime::Vllm) {
        add("nodes", sizes.nodes(preset));
        for retired in types.iter().filter(|found| found.retired.is_some()) {
            let replacements = sizes.replacements(preset, retired);
            if !replacements.is_empty() {
                add(&format!("replaced.{}", retired.name.to_lowercase()), replacements);
            }
        }
    }
    let memory = sizes.least_gpu_memory_gib(preset);
    entries.extend(memory.map(|gib| (format!("memory.{short}"), gib.to_string())));
    entries
}

#[cfg(test)]
mod tests {
    use instance_types::Cloud;
    use preset_catalog::EngineImage;
    use preset_catalog::estimate::{GpuNode, Work, place};

    use super::*;

    fn embedded(cloud: Cloud) -> BTreeMap<String, String> {
        let types = instance_types::Catalog::embedded().unwrap();
        let options = TableOptions::new(cloud, Unlisted::Refused);
        table(Catalog::embedded().unwrap(), types, &options)
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
        let of = |weights| {
            let options = TableOptions {
                weights,
                ..TableOptions::new(Cloud::Azure, Unlisted::Refused)
            };
            table(catalog, types, &options)
        };
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
                let profile = preset.inference.as_ref().unwrap();
                let oldest = profile
                    .min_compute_capability
                    .max(EngineImage::KAITO_BASE.min_compute_capability);
                let is_too_old = instance_type.nvidia_gpus() > 0 && instance_type.compute_capability < oldest;
                if is_too_old || profile.needs_cuda_toolkit || instance_type.retired.is_some() {
                    assert_eq!(longest, "0");
                    continue;
                }
                let node = GpuNode::from(instance_type);
                let longest: u32 = longest.parse().unwrap();
                let fits = |context_tokens| place(preset, node, Work::inference(context_tokens)).is_ok();
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

    /// The policy chooses among the replacements as the controller does.
    #[test]
    fn replacements_are_those_of_the_planner() {
        let table = embedded(Cloud::Azure);
        let types = instance_types::Catalog::embedded().unwrap();
        let all: Vec<&InstanceType> = types.of(Cloud::Azure).collect();
        let retired = types.lookup(Cloud::Azure, "Standard_NC6s_v3").unwrap();
        assert_eq!(
            table["retired.standard_nc6s_v3"],
            "2025-09-30 Standard_NV36ads_A10_v5 Standard_NV36ads_A10_v5"
        );
        let mut checked = 0;
        for preset in Catalog::embedded().unwrap().iter() {
            let Some(profile) = &preset.inference else {
                continue;
            };
            if !profile.runtimes.contains(&Runtime::Vllm) {
                continue;
            }
            let key = format!("replaced.standard_nc6s_v3.{}", preset.name);
            let row = table.get(&key).map_or("", String::as_str);
            let limit = preset.shape.max_context_tokens;
            for context in [1, DEFAULT_CONTEXT_TOKENS, 20_000, limit / 2, limit] {
                let context = context.clamp(1, limit);
                let pairs = row.split(',').filter_map(|pair| pair.split_once(':'));
                let mut fitting = pairs.filter(|(_, longest)| longest.parse::<u32>().unwrap() >= context);
                let options = preset_catalog::fit::FitOptions::default();
                let plan = preset_catalog::fit::compare_instance_types(preset, &all, context, &options);
                let expected = plan.replacement(retired).map(|(found, _)| found.name.as_str());
                assert_eq!(
                    fitting.next().map(|(name, _)| name),
                    expected,
                    "{} {context}",
                    preset.name
                );
                checked += usize::from(expected.is_some());
            }
        }
        assert!(checked > 100, "{checked}");
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
        let options = TableOptions::new(Cloud::Aws, Unlisted::Refused);
        let table = table(&overlay.catalog, types, &options);
        assert_eq!(table["open"], "all");
        assert!(bytes(&table) < MAX_BYTES);
    }
}

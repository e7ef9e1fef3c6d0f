//! `docs/presets.md`: every preset, what it needs of common instance types, and the instance types.
//!
//! Only the tables are made here; every number comes from the catalog and the planner.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow};
use instance_types::{Cloud, InstanceType};
use preset_catalog::estimate::DEFAULT_CONTEXT_TOKENS;
use preset_catalog::fit::{Fit, FitOptions, compare_instance_types};
use preset_catalog::{Catalog, Preset};

use super::generated::Generated;

const PATH: &str = "docs/presets.md";

/// The instance types of the table of nodes: title, cloud, name.
const COLUMNS: [(&str, Cloud, &str); 10] = [
    ("1x T4", Cloud::Azure, "Standard_NC4as_T4_v3"),
    ("1x A10", Cloud::Azure, "Standard_NV36ads_A10_v5"),
    ("1x A100", Cloud::Azure, "Standard_NC24ads_A100_v4"),
    ("2x A100", Cloud::Azure, "Standard_NC48ads_A100_v4"),
    ("1x H100", Cloud::Azure, "Standard_NC40ads_H100_v5"),
    ("8x H100", Cloud::Azure, "Standard_ND96isr_H100_v5"),
    ("8x H200", Cloud::Azure, "Standard_ND96isr_H200_v5"),
    ("1x L4", Cloud::Aws, "g6.xlarge"),
    ("4x L4", Cloud::Aws, "g6.12xlarge"),
    ("8 CPUs", Cloud::Azure, "Standard_D8s_v5"),
];

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask gen` from crates/preset-catalog and crates/instance-types. Do not edit. -->
# Model presets

Names for `inference.preset.name` or `tuning.preset.name`: the preset, its alias or its model hub
id, in any letter case. [estimator.md](estimator.md) explains the numbers and how to add a preset.

";

const NODES: &str = "\
## Nodes

Nodes for one replica with room for a sequence of 2048 tokens, and the longest context (Ki = 1024 tokens) that fits the
same nodes. A dash: it does not fit, or the engine has no kernels for the model on such GPUs. Many nodes of small GPUs are
listed because they would work, not because anybody should want them.

";

pub(super) fn files() -> Result<Vec<Generated>> {
    Ok(vec![Generated {
        path: PATH.into(),
        contents: document()?,
    }])
}

fn document() -> Result<String> {
    let presets = Catalog::embedded().map_err(|error| anyhow!("presets: {error}"))?;
    let types = instance_types::Catalog::embedded().map_err(|error| anyhow!("instance types: {error}"))?;
    let columns = columns(types)?;
    let served: Vec<&Preset> = presets
        .iter()
        .filter(|preset| preset.inference.is_some())
        .collect();
    let parts = [
        INTRODUCTION.to_owned(),
        preset_table(presets.iter()),
        NODES.to_owned(),
        column_legend(&columns),
        node_table(&served, &columns),
        instance_type_tables(types),
    ];
    Ok(parts.concat())
}

fn columns(types: &instance_types::Catalog) -> Result<Vec<(&'static str, &InstanceType)>> {
    let find = |(title, cloud, name)| {
        let found = types.lookup(cloud, name);
        Ok((title, found.with_context(|| format!("no instance type {name}"))?))
    };
    COLUMNS.into_iter().map(find).collect()
}

fn preset_table<'a>(presets: impl Iterator<Item = &'a Preset>) -> String {
    let header = [
        "preset",
        "alias",
        "model hub",
        "license",
        "gated",
        "weights GiB",
        "context",
        "tuning",
    ];
    let rows = presets.map(|preset| {
        let tuning = preset.tuning.as_ref().map_or(String::new(), |tuning| {
            let methods: Vec<_> = tuning.methods.iter().map(|method| method.as_str()).collect();
            methods.join(", ")
        });
        let name = match &preset.deprecated {
            Some(why) => format!("{} (no longer served: {why})", preset.name),
            None => preset.name.clone(),
        };
        vec![
            name,
            preset.aliases.join(", "),
            format!("[{0}](https://huggingface.co/{0})", preset.hub_id),
            preset.license.clone(),
            if preset.gated { "yes" } else { "" }.to_owned(),
            hundredths(preset.shape.weights_bytes),
            preset.shape.max_context_tokens.to_string(),
            tuning,
        ]
    });
    table(&header, rows)
}

fn column_legend(columns: &[(&str, &InstanceType)]) -> String {
    let rows = columns.iter().map(|(title, instance_type)| {
        vec![
            (*title).to_owned(),
            instance_type.name.clone(),
            instance_type.cloud.to_string(),
        ]
    });
    table(&["column", "instance type", "cloud"], rows)
}

fn node_table(presets: &[&Preset], columns: &[(&str, &InstanceType)]) -> String {
    let titles = columns.iter().map(|(title, _)| *title);
    let header: Vec<_> = std::iter::once("preset").chain(titles).collect();
    let rows = presets.iter().map(|preset| {
        let cells = columns
            .iter()
            .map(|(_, instance_type)| cell(preset, instance_type));
        std::iter::once(preset.name.clone()).chain(cells).collect()
    });
    table(&header, rows)
}

fn cell(preset: &Preset, instance_type: &InstanceType) -> String {
    let options = FitOptions::default();
    let plan = compare_instance_types(preset, &[instance_type], DEFAULT_CONTEXT_TOKENS, &options);
    plan.best()
        .map_or("–".to_owned(), |(_, fit)| nodes_and_context(fit))
}

fn nodes_and_context(fit: &Fit) -> String {
    let nodes = fit.placement.nodes;
    match fit.max_context_tokens {
        Some(tokens) => format!("{nodes} · {}Ki", tokens / 1024),
        None => nodes.to_string(),
    }
}

fn instance_type_tables(types: &instance_types::Catalog) -> String {
    let mut text = "## Instance types\n\nList prices are on demand with Linux and go out of date; where a price is absent it \
                    is not known. An administrator adds instance types and prices in [files](capacity.md#your-own-instance-types).\n"
        .to_owned();
    for cloud in Cloud::ALL {
        let of_cloud: Vec<_> = types.of(cloud).collect();
        if of_cloud.is_empty() {
            continue;
        }
        let price = of_cloud
            .iter()
            .find_map(|instance_type| instance_type.list_price.as_ref());
        let source = price.map_or("No prices are known.".to_owned(), |price| {
            format!("Prices as of {}: {}.", price.as_of, price.source)
        });
        // Writing to a String cannot fail.
        let _ = write!(text, "\n### {cloud}\n\n{source}\n\n");
        text.push_str(&instance_type_table(&of_cloud));
    }
    text.trim_end().to_owned() + "\n"
}

fn instance_type_table(types: &[&InstanceType]) -> String {
    let header = [
        "instance type",
        "GPUs",
        "GPU",
        "GPU GiB",
        "vCPUs",
        "memory GiB",
        "$/h",
        "region",
    ];
    let known = |number: Option<u32>| number.map_or(String::new(), |number| number.to_string());
    let rows = types.iter().map(|instance_type| {
        let price = instance_type.list_price.as_ref();
        vec![
            instance_type.name.clone(),
            instance_type.gpus.to_string(),
            instance_type.gpu_model.clone().unwrap_or_default(),
            instance_type.gpu_memory_gib_total.to_string(),
            known(instance_type.vcpus),
            known(instance_type.memory_gib),
            price.map_or(String::new(), |price| dollars(price.usd_micros_per_hour)),
            price.map_or(String::new(), |price| price.region.clone()),
        ]
    });
    table(&header, rows)
}

/// A Markdown table and an empty line.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<_> = cells.collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(&mut header.iter().copied());
    text.push_str(&line(&mut header.iter().map(|_| "---")));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text + "\n"
}

/// GiB to the nearest hundredth.
fn hundredths(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Dollars to the nearest thousandth.
fn dollars(micros: u64) -> String {
    let thousandths = micros.saturating_add(500) / 1000;
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_and_type_has_a_row() {
        let document = document().unwrap();
        for preset in Catalog::embedded().unwrap().iter() {
            let rows = document
                .lines()
                .filter(|line| line.starts_with(&format!("| {} ", preset.name)));
            let expected = if preset.inference.is_some() { 2 } else { 1 };
            assert_eq!(rows.count(), expected, "{}", preset.name);
        }
        let types = instance_types::Catalog::embedded().unwrap();
        for instance_type in Cloud::ALL.into_iter().flat_map(|cloud| types.of(cloud)) {
            assert!(document.contains(&format!("| {} | {} |", instance_type.name, instance_type.gpus)));
        }
    }

    #[test]
    fn every_line_of_a_table_has_the_same_cells() {
        let document = document().unwrap();
        for block in document.split("\n\n").filter(|block| block.starts_with('|')) {
            let cells: std::collections::BTreeSet<_> =
                block.lines().map(|line| line.matches(" | ").count()).collect();
            assert_eq!(cells.len(), 1, "{block}");
        }
    }

    #[test]
    fn numbers_are_rounded() {
        assert_eq!(hundredths(1 << 28), "0.25");
        assert_eq!([dollars(98_320_000), dollars(541_500)], ["98.320", "0.542"]);
    }
}

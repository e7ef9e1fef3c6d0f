//! `presets list` and `presets show`.

use preset_catalog::{Preset, Runtime};
use serde_json::Value;

use crate::answer::Answer;
use crate::args::{Format, ListArgs, ShowArgs};
use crate::commit::UNPINNED;
use crate::output::{gib, printable, serialized, table};
use crate::presets_json;
use crate::source::PresetSource;

/// Lists the matching presets.
pub(crate) async fn list(source: &PresetSource, args: &ListArgs) -> anyhow::Result<Answer> {
    let mut presets = source.presets().await?;
    presets.retain(|preset| wanted(preset, args));
    let text = match args.output {
        Format::Table if presets.is_empty() => "no preset matches\n".to_owned(),
        Format::Table => listed(&presets),
        format => {
            let values: Vec<Value> = presets.iter().map(presets_json::preset).collect();
            serialized(format, &values.into())?
        }
    };
    Ok(Answer::fine(text))
}

/// Shows all details of one preset.
pub(crate) async fn show(source: &PresetSource, args: &ShowArgs) -> anyhow::Result<Answer> {
    let preset = source.preset(&args.name).await?;
    let text = match args.output {
        Format::Table => shown(&preset),
        format => serialized(format, &presets_json::preset(&preset))?,
    };
    Ok(Answer::fine(text))
}

fn wanted(preset: &Preset, args: &ListArgs) -> bool {
    let contains = args.contains.as_deref().unwrap_or_default().to_lowercase();
    let mut names = [&preset.name, &preset.hub_id].into_iter().chain(&preset.aliases);
    let runs_on_cpu = preset.inference.as_ref().is_some_and(|profile| profile.cpu);
    names.any(|name| name.to_lowercase().contains(&contains))
        && (!args.tunable || preset.tuning.is_some())
        && (!args.cpu || runs_on_cpu)
}

fn listed(presets: &[Preset]) -> String {
    let header = ["PRESET", ">GiB", ">CONTEXT", "~RUNTIMES", "TUNING", "~LICENSE"];
    let row = |preset: &Preset| {
        let name = match &preset.deprecated {
            Some(_) => format!("{} (deprecated)", preset.name),
            None => preset.name.clone(),
        };
        let gated = if preset.gated { ", gated" } else { "" };
        let unpinned = match preset.revision {
            Some(_) => String::new(),
            None => format!(", {UNPINNED}"),
        };
        vec![
            printable(&name),
            gib(preset.shape.weights_bytes),
            preset.shape.max_context_tokens.to_string(),
            runtimes(preset).replace(", ", " "),
            methods(preset).replace(", ", " "),
            printable(&format!("{}{gated}{unpinned}", preset.license)),
        ]
    };
    table(&header, presets.iter().map(row))
}

fn runtimes(preset: &Preset) -> String {
    let profile = preset.inference.as_ref();
    let names: Vec<&str> = profile
        .into_iter()
        .flat_map(|profile| &profile.runtimes)
        .map(|r| r.as_str())
        .collect();
    match profile {
        Some(profile) if profile.cpu => format!("{} (CPU)", names.join(", ")),
        _ => names.join(", "),
    }
}

fn methods(preset: &Preset) -> String {
    let methods = preset.tuning.iter().flat_map(|tuning| &tuning.methods);
    methods
        .map(|method| method.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn shown(preset: &Preset) -> String {
    let shape = &preset.shape;
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push([name.to_owned(), printable(&value)]);
        }
    };
    let number = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
    row("preset", preset.name.clone());
    row("aliases", preset.aliases.join(", "));
    row("deprecated", preset.deprecated.clone().unwrap_or_default());
    row("model hub", preset.hub_id.clone());
    let unpinned = || match &preset.head {
        Some(head) => {
            format!("{UNPINNED}: a Workspace keeps the commit of its first use, which is {head} now")
        }
        None => format!("{UNPINNED}: a Workspace keeps the commit of its first use"),
    };
    row("revision", preset.revision.clone().unwrap_or_else(unpinned));
    row("license", preset.license.clone());
    let gated =
        "yes: needs an account that accepted the license, with its token in presetOptions.modelAccessSecret";
    row(
        "gated",
        if preset.gated {
            gated.to_owned()
        } else {
            String::new()
        },
    );
    row("architecture", shape.architecture.clone());
    row("weights", format!("{} GiB", gib(shape.weights_bytes)));
    row("quantization", shape.quantization.clone().unwrap_or_default());
    row("longest context", format!("{} tokens", shape.max_context_tokens));
    row(
        "KV cache",
        format!("{} bytes per token", shape.kv_bytes_per_token),
    );
    row("layers", number(shape.layers));
    row("attention heads", number(shape.attention_heads));
    row("KV heads", number(shape.kv_heads));
    row("served by", runtimes(preset));
    if let Some(profile) = &preset.inference {
        row("disk", format!("{} GiB", profile.disk_gib));
        row("ready within", format!("{} s", profile.readiness_timeout_seconds));
        if profile.runtimes.contains(&Runtime::Vllm) {
            row("vLLM flags", flags(&profile.vllm_flags));
        }
    }
    row("tuned by", methods(preset));
    table(&[], rows.into_iter().map(Vec::from))
}

fn flags(flags: &std::collections::BTreeMap<String, String>) -> String {
    let flag = |(name, value): (&String, &String)| match value.as_str() {
        "" => format!("--{name}"),
        value => format!("--{name}={value}"),
    };
    flags.iter().map(flag).collect::<Vec<_>>().join(" ")
}

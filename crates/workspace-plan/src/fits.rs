//! The comparison of instance types for the work of a Workspace, where another type than the named one is looked for.

use instance_types::InstanceType;
use preset_catalog::Preset;
use preset_catalog::estimate::{DEFAULT_CONTEXT_TOKENS, EngineOptions};
use preset_catalog::fit::{FitOptions, FitReport, Purpose, compare_instance_types};

use crate::context::PlanContext;

/// Most instance types in a message.
const SUGGESTIONS: usize = 3;

/// The work of the nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NodeWork<'a> {
    /// A pod template of the user's own.
    Template,
    /// A preset that is served.
    Inference {
        preset: &'a Preset,
        /// Tokens of one sequence.
        context_tokens: u32,
        /// Settings of the engine.
        options: EngineOptions,
    },
    /// A preset that is tuned.
    Tuning(&'a Preset),
}

/// Instance types of the cloud.
pub(crate) fn types<'a>(context: &PlanContext<'a>) -> Vec<&'a InstanceType> {
    let settings = context.settings;
    settings.instance_types.of(settings.cloud).collect()
}

/// Compares the instance types for the work; `None` for pods of the user's own.
pub(crate) fn report(context: &PlanContext<'_>, work: NodeWork<'_>) -> Option<FitReport> {
    let (preset, purpose, context_tokens, settings) = match work {
        NodeWork::Template => return None,
        NodeWork::Inference {
            preset,
            context_tokens,
            options,
        } => (preset, Purpose::Inference, context_tokens, options),
        NodeWork::Tuning(preset) => (
            preset,
            Purpose::Tuning,
            DEFAULT_CONTEXT_TOKENS,
            EngineOptions::DEFAULT,
        ),
    };
    let options = FitOptions {
        purpose,
        max_nodes: None,
        engine: context.settings.engine,
        settings,
    };
    Some(compare_instance_types(
        preset,
        &types(context),
        context_tokens,
        &options,
    ))
}

/// Returns the cheapest types that would work, as the end of a message; empty if there are none.
pub(crate) fn would_work(context: &PlanContext<'_>, work: NodeWork<'_>) -> String {
    let Some(report) = report(context, work).filter(|_| context.creates_nodes()) else {
        return String::new();
    };
    let words = report.fits().filter(|(_, fit)| fit.gpus > 0).take(SUGGESTIONS);
    let words = words.map(|(found, fit)| {
        let nodes = fit.placement.nodes;
        let plural = if nodes == 1 { "" } else { "s" };
        format!("{nodes} node{plural} of {}", found.name)
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        String::new()
    } else {
        format!("; what would work is {}", words.join(" or "))
    }
}

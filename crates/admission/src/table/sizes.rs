//! Results of the planner for one preset on all instance types of the table.

use instance_types::InstanceType;
use preset_catalog::estimate::DEFAULT_CONTEXT_TOKENS;
use preset_catalog::fit::{
    Candidate, FitOptions, FitOutcome, FitReport, Remedy, compare_instance_types, is_affordable,
};
use preset_catalog::{EngineImage, Preset, Runtime};

/// Questions about presets on the types of one table.
#[derive(Clone, Copy)]
pub(super) struct Sizes<'a> {
    pub(super) types: &'a [&'a InstanceType],
    pub(super) engine: EngineImage,
}

impl Sizes<'_> {
    fn options(self, runtime: Runtime) -> FitOptions {
        FitOptions {
            // The native engine uses one node.
            max_nodes: (runtime == Runtime::Native).then_some(1),
            engine: self.engine,
            ..FitOptions::default()
        }
    }

    fn compare(self, preset: &Preset, context_tokens: u32, options: &FitOptions) -> FitReport {
        compare_instance_types(preset, self.types, context_tokens, options)
    }

    /// The first three results of the planner that this runtime can use.
    pub(super) fn best(self, preset: &Preset, runtime: Runtime) -> String {
        let plan = self.compare(preset, DEFAULT_CONTEXT_TOKENS, &self.options(runtime));
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
    pub(super) fn contexts(self, preset: &Preset, runtime: Runtime) -> String {
        let limit = preset.shape.max_context_tokens;
        let plan = self.compare(preset, limit, &self.options(runtime));
        let longest = |instance_type: &&InstanceType| {
            let usable = runtime == Runtime::Native || instance_type.nvidia_gpus() > 0;
            let tokens = of(&plan, instance_type)
                .filter(|_| usable)
                .map_or(0, |candidate| longest(candidate, limit));
            tokens.to_string()
        };
        self.types.iter().map(longest).collect::<Vec<_>>().join(",")
    }

    /// Nodes for the default context on each instance type, in the order of the types; 0 if it does not fit.
    pub(super) fn nodes(self, preset: &Preset) -> String {
        let plan = self.compare(preset, DEFAULT_CONTEXT_TOKENS, &self.options(Runtime::Vllm));
        let nodes = |instance_type: &&InstanceType| {
            let fit = of(&plan, instance_type).and_then(Candidate::fit);
            fit.map_or(0, |(_, fit)| fit.placement.nodes).to_string()
        };
        self.types.iter().map(nodes).collect::<Vec<_>>().join(",")
    }

    /// Replacements of a retired type, cheapest first, each with the longest context that one node of it holds.
    pub(super) fn replacements(self, preset: &Preset, retired: &InstanceType) -> String {
        let limit = preset.shape.max_context_tokens;
        let options = FitOptions {
            max_nodes: Some(1),
            ..self.options(Runtime::Vllm)
        };
        let plan = self.compare(preset, limit, &options);
        let usable = self.types.iter().filter(|candidate| {
            candidate.retired.is_none() && candidate.nvidia_gpus() > 0 && is_affordable(candidate, retired)
        });
        let mut reached = 0;
        let words = usable.filter_map(|candidate| {
            let tokens = of(&plan, candidate).map_or(0, |found| longest(found, limit));
            let adds = tokens > reached;
            reached = reached.max(tokens);
            adds.then(|| format!("{}:{tokens}", candidate.name))
        });
        words.collect::<Vec<_>>().join(",")
    }

    /// Least GiB of GPU memory, over all types, of the nodes that hold a default context.
    pub(super) fn least_gpu_memory_gib(self, preset: &Preset) -> Option<u32> {
        let plan = self.compare(preset, DEFAULT_CONTEXT_TOKENS, &self.options(Runtime::Vllm));
        plan.fits()
            .filter(|(_, fit)| fit.gpus > 0)
            .map(|(instance_type, fit)| {
                instance_type
                    .gpu_memory_gib_total
                    .saturating_mul(fit.placement.nodes)
            })
            .min()
    }
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

//! The desired state of a Workspace that tunes.

use std::ops::RangeInclusive;

use kaito_api::conditions::WorkspaceReason;
use kaito_api::{TuningSpec, labels};
use preset_catalog::estimate::{Work, tunes_on_cpu};
use preset_catalog::{Runtime, TuningMethod};
use render::Tuner;

use super::hardware::Needs;
use super::{config, engine_image, hardware, preset, program, sizing, sources};
use crate::annotations::parsed;
use crate::context::PlanContext;
use crate::desired::{Desired, DesiredTuning, DesiredWorkload};
use crate::fits::NodeWork;
use crate::metadata::annotation;
use crate::model_commit;
use crate::problem::Problem;
use crate::rung::Rung;

/// Seconds for which a failed push may be repeated: a minute to almost a week.
const RETRY_SECONDS: RangeInclusive<u32> = 60..=599_999;
const DEFAULT_RETRY_SECONDS: u32 = 24 * 60 * 60;

/// Returns the desired state of a tuning spec on this rung.
pub(super) fn desired<'a>(
    context: &PlanContext<'a>,
    spec: &'a TuningSpec,
    rung: Rung<'a>,
) -> Result<Desired<'a>, Problem> {
    let wanted = spec.preset.as_ref();
    let wanted = wanted.ok_or_else(|| Problem::invalid("tuning.preset must be set"))?;
    let input = sources::input(&spec.input)?;
    let output = sources::output(&spec.output, retry_seconds(context)?)?;
    let method = method(spec)?;
    let (preset, note) = preset::find(context, wanted)?;
    let profile = preset.tuning.as_ref();
    let profile = profile.ok_or_else(|| Problem::unsuitable(preset, "cannot be tuned"))?;
    if !profile.methods.contains(&method) {
        let cause = format!("cannot be tuned by {}", method.as_str());
        return Err(Problem::unsuitable(preset, &cause));
    }
    preset::check_access(context, preset, wanted)?;
    if !model_commit::downloads_for_tuning(preset) {
        let because = format!("the weights of preset {} for tuning are in an image", preset.name);
        model_commit::check_effect(context, &because)?;
    }
    let work = NodeWork::Tuning(preset);
    let needs_gpu = !tunes_on_cpu(preset);
    let needs = Needs {
        gpu: needs_gpu,
        known_type: needs_gpu,
    };
    let (hardware, replaced) = hardware::of_nodes(context, rung, work, needs)?;
    let tuner = program::tuner(context, preset, &hardware)?;
    if tuner == Tuner::Scripts {
        engine_image::check(context, work, None, &hardware)?;
    }
    config::check_tuning(context, method, tuner)?;
    let size = sizing::of_preset(context, preset, &hardware, Work::Tuning, Runtime::Vllm, None)?;
    Ok(Desired {
        workload: DesiredWorkload::Tuning(Box::new(DesiredTuning {
            spec,
            preset,
            profile,
            method,
            tuner,
            config_hash: config::tuning_digest(context),
            input,
            output,
        })),
        nodes: size.placement.nodes,
        gpus_per_node: hardware.gpu.gpus,
        hardware,
        disk_gib: profile.disk_gib,
        sizing_summary: size.summary,
        update_blocked: edited(context, spec),
        is_ladder: false,
        left_out: Vec::new(),
        notes: note.into_iter().chain(replaced).collect(),
    })
}

/// Seconds for which a failed push is repeated: a day, in which a person notices, unless an annotation says otherwise. The
/// node is paid meanwhile.
fn retry_seconds(context: &PlanContext<'_>) -> Result<u32, Problem> {
    let parse = |text: &str| {
        text.parse()
            .ok()
            .filter(|seconds| RETRY_SECONDS.contains(seconds))
    };
    let expected = "a number of seconds from 60 to 599999";
    let annotated = parsed(context, labels::PUSH_RETRY_SECONDS, parse, expected)?;
    Ok(annotated.unwrap_or(DEFAULT_RETRY_SECONDS))
}

fn method(spec: &TuningSpec) -> Result<TuningMethod, Problem> {
    let mut all = TuningMethod::ALL.into_iter();
    let found = all.find(|method| method.as_str().eq_ignore_ascii_case(&spec.method));
    let cause = || format!("tuning.method {:?} is neither lora nor qlora", spec.method);
    found.ok_or_else(|| Problem::invalid(cause()))
}

/// Reports an edit of the spec after the Job was created: a Job is immutable.
pub(super) fn edited(context: &PlanContext<'_>, spec: &TuningSpec) -> Option<Problem> {
    let job = context.job()?;
    let created_from = annotation(&job.metadata, labels::SPEC_HASH)?;
    let blocked = |what: &str| {
        let cause = format!("{what} was edited; the Job does what it was made for");
        Problem::new(WorkspaceReason::UpdateBlocked, cause)
    };
    if created_from != render::spec_digest(spec) {
        return Some(blocked("tuning"));
    }
    if model_commit::is_edited(context) {
        return Some(blocked(&format!("annotation {}", labels::MODEL_REVISION)));
    }
    config::is_edited(context).then(|| blocked("the ConfigMap of tuning.config"))
}

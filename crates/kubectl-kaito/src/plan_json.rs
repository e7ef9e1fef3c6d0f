//! Plans as JSON values, with the field names of the gRPC contract in camel case, plus messages.

use preset_catalog::fit::{Candidate, Fit, FitOutcome, FitReport, Purpose, Term};
use preset_catalog::forecast::Forecast;
use serde_json::{Value, json};

use crate::commit::{Commit, Model};
use crate::estimates;
use crate::presets_json::known;

/// Converts a plan. `workspace` is the name and the chosen instance type, if the plan is for a Workspace. The `replacement` is
/// bought instead of a retired one; several types are a ladder, which is null for a single one.
pub(crate) fn plan(
    plan: &FitReport,
    model: &Model,
    workspace: Option<(&str, &str)>,
    (replacement, ladder): (Option<&str>, Value),
) -> Value {
    let purpose = match plan.purpose {
        Purpose::Inference => "inference",
        Purpose::Tuning => "tuning",
    };
    known([
        ("workspace", json!(workspace.map(|(name, _)| name))),
        (
            "instanceType",
            json!(
                workspace
                    .map(|(_, chosen)| chosen)
                    .filter(|chosen| !chosen.is_empty())
            ),
        ),
        ("replacedBy", json!(replacement)),
        ("ladder", ladder),
        ("preset", json!(plan.preset)),
        ("needsModelAccessSecret", json!(model.needs_token.then_some(true))),
        ("modelRevision", json!(model.commit.as_ref().map(Commit::json))),
        (
            "engineSettings",
            json!(Some(model.settings.to_string()).filter(|settings| !settings.is_empty())),
        ),
        ("purpose", json!(purpose)),
        ("contextTokens", json!(plan.context_tokens)),
        (
            "candidates",
            plan.candidates
                .iter()
                .zip(&model.forecasts)
                .map(candidate)
                .collect(),
        ),
    ])
}

fn candidate((candidate, forecast): (&Candidate, &Option<Forecast>)) -> Value {
    let instance_type = &candidate.instance_type;
    let price = instance_type.list_price.as_ref().map(|price| {
        json!({
            "usdMicrosPerHour": price.usd_micros_per_hour, "region": price.region, "asOf": price.as_of,
            "source": price.source,
        })
    });
    let (fits, unfit) = match &candidate.outcome {
        FitOutcome::Fits(found) => (fit(found), Value::Null),
        FitOutcome::Unfit(unfit) => {
            let reasons: Vec<String> = unfit.reasons.iter().map(ToString::to_string).collect();
            let remedies: Vec<String> = unfit.remedies.iter().map(ToString::to_string).collect();
            (Value::Null, json!({"reasons": reasons, "remedies": remedies}))
        }
    };
    known([
        ("instanceType", json!(instance_type.name)),
        ("cloud", json!(instance_type.cloud.as_str())),
        ("gpusOfNode", json!(instance_type.gpus)),
        ("gpuModel", json!(instance_type.gpu_model)),
        ("gpuMemoryGibOfNode", json!(instance_type.gpu_memory_gib_total)),
        ("listPriceOfNode", json!(price)),
        ("source", json!(instance_type.file)),
        (
            "retiredSince",
            json!(instance_type.retired.as_ref().map(|retired| &retired.since)),
        ),
        ("fit", fits),
        ("estimates", json!(forecast.as_ref().map(estimates::json))),
        ("unfit", unfit),
    ])
}

fn fit(fit: &Fit) -> Value {
    let placement = &fit.placement;
    known([
        ("nodes", json!(placement.nodes)),
        ("gpus", json!(fit.gpus)),
        ("gpusPerNode", json!(placement.gpus_per_node)),
        ("minGpus", json!(placement.min_gpus)),
        ("tensorParallel", json!(placement.tensor_parallel)),
        ("pipelineParallel", json!(placement.pipeline_parallel)),
        ("dataParallel", json!(placement.data_parallel)),
        ("maxContextTokens", json!(fit.max_context_tokens)),
        ("usdMicrosPerHour", json!(fit.usd_micros_per_hour)),
        ("headroomBytes", json!(fit.headroom_bytes)),
        ("explanation", fit.explanation.iter().map(term).collect()),
    ])
}

fn term(term: &Term) -> Value {
    json!({
        "term": term.kind.as_str(), "bytes": term.bytes, "formula": term.formula, "source": term.source,
    })
}

//! `plan`: lists the candidates for a model, best first, and the terms of their memory.

use std::fmt::Write as _;

use anyhow::bail;
use instance_types::{InstanceType, dollars};
use preset_catalog::Preset;
use preset_catalog::estimate::DEFAULT_CONTEXT_TOKENS;
use preset_catalog::fit::{Candidate, Fit, FitOptions, FitOutcome, FitReport, Purpose, Remedy};
use preset_catalog::forecast::{Forecast, StartHistory, forecast};
use serde_json::Value;

use crate::answer::Answer;
use crate::args::{Format, PlanArgs, PlanFormat};
use crate::commit::{self, Commit, Model};
use crate::ladder;
use crate::manifest::NewWorkspace;
use crate::output::{gib, parallel, printable, serialized, table, wrapped};
use crate::plan_subject::{Subject, subjects};
use crate::source::{PresetSource, Question};
use crate::{estimates, offerings, own_types, plan_json, plan_sums, quota, retired, several, start_history};

/// Line about a gated preset.
const NEEDS_TOKEN: &str =
    "Gated at its model hub: presetOptions.modelAccessSecret must name a Secret with the key HF_TOKEN.\n";

/// Columns of the lines below the table.
const LEGEND_WIDTH: usize = 100;

/// Plans for the preset, or for every Workspace of the file. It is a finding if nothing fits, or if the Workspace's instance
/// type does not fit.
pub(crate) async fn run(source: &PresetSource, args: &PlanArgs) -> anyhow::Result<Answer> {
    if !args.measured && args.quota.is_none() && args.cluster.is_named() {
        anyhow::bail!(
            "--namespace, --kubeconfig and --context name a cluster, which a plan reads with --measured or --quota only; tokens are --context-tokens"
        );
    }
    let subjects = subjects(args)?;
    let history = if args.measured {
        start_history::read(&args.cluster).await?
    } else {
        StartHistory::default()
    };
    let mut findings = false;
    let mut plans = Vec::new();
    for subject in &subjects {
        let plan = source.plan(&question(subject, args)).await?;
        let preset = source.preset(&subject.preset).await?;
        let needs_token = preset.gated && !subject.has_access;
        findings |= !ladder::is_satisfied(&subject.rungs(), &plan, args.retired_instance_types)
            || needs_token && subject.workspace.is_some();
        let model = Model {
            needs_token,
            commit: commit::of(&preset, subject.purpose, subject.commit.as_deref())
                .filter(|_| !subject.has_image),
            settings: subject.settings,
            forecasts: forecasts(&plan, &preset, subject, &history),
        };
        plans.push((plan, model));
    }
    let record = quota::read(args).await?;
    let described = subjects.iter().zip(&plans);
    let text = match args.output {
        PlanFormat::Manifest => manifest(&plans, args)?,
        PlanFormat::Table => described
            .map(|(subject, (plan, model))| {
                let is_shown = |candidate: &Candidate| {
                    subject.chooses(candidate) || !several::is_hidden(candidate, plan, args)
                };
                let quota = quota::of(record.as_ref(), plan, &subject.offerings, is_shown);
                shown(subject, plan, model, args) + &quota
            })
            .collect::<Vec<_>>()
            .join("\n"),
        format => {
            let mut values: Vec<Value> = described
                .map(|(subject, (plan, model))| {
                    let workspace = subject.workspace.as_deref();
                    let bought = ladder::replaced(&subject.rungs(), plan, args.retired_instance_types)
                        .into_iter()
                        .next();
                    let bought = bought.map(|(_, bought)| bought.name.as_str());
                    let workspace = workspace.map(|name| (name, subject.instance_type.as_str()));
                    let rungs = ladder::json(&subject.rungs(), plan, args.retired_instance_types);
                    let bought = (bought.filter(|_| rungs.is_null()), rungs);
                    let mut value = plan_json::plan(plan, model, workspace, bought);
                    offerings::add(&mut value, &subject.offerings);
                    quota::add(&mut value, record.as_ref(), plan, &subject.offerings);
                    value
                })
                .collect();
            // A single plan is printed alone, several as a list.
            let value = if values.len() == 1 {
                values.remove(0)
            } else {
                values.into()
            };
            let format = if format == PlanFormat::Yaml {
                Format::Yaml
            } else {
                Format::Json
            };
            serialized(format, &value)?
        }
    };
    Ok(Answer { text, findings })
}

/// Returns the estimates of each candidate that fits, in the order of the plan.
fn forecasts(
    plan: &FitReport,
    preset: &Preset,
    subject: &Subject,
    history: &StartHistory,
) -> Vec<Option<Forecast>> {
    let of = |candidate: &Candidate| {
        let (instance_type, fit) = candidate.fit()?;
        let is_served = plan.purpose == Purpose::Inference;
        is_served.then(|| forecast(preset, instance_type, fit, &subject.settings, history))
    };
    plan.candidates.iter().map(of).collect()
}

/// The Workspace of the best candidate of a preset.
fn manifest(plans: &[(FitReport, Model)], args: &PlanArgs) -> anyhow::Result<String> {
    match (plans, &args.preset) {
        ([(plan, model)], Some(_)) => {
            let note = if model.needs_token { NEEDS_TOKEN } else { "" };
            NewWorkspace::text(plan, args.context_tokens, note)
        }
        _ => bail!("-o manifest makes a Workspace of a preset, and -f names one already"),
    }
}

fn question<'a>(subject: &'a Subject, args: &'a PlanArgs) -> Question<'a> {
    Question {
        preset: &subject.preset,
        cloud: args.cloud,
        instance_types: &args.instance_types,
        context_tokens: args
            .context_tokens
            .or(subject.context_tokens)
            .unwrap_or(DEFAULT_CONTEXT_TOKENS),
        options: FitOptions {
            purpose: subject.purpose,
            max_nodes: args.max_nodes,
            engine: args.engine.facts(),
            settings: subject.settings,
        },
    }
}

fn shown(subject: &Subject, plan: &FitReport, model: &Model, args: &PlanArgs) -> String {
    let mut text = String::new();
    // Writes to a String never fail.
    if let Some(name) = &subject.workspace {
        let _ = write!(text, "Workspace {}: ", printable(name));
    }
    let preset = printable(&plan.preset);
    let _ = match plan.purpose {
        Purpose::Inference => writeln!(text, "{preset}, room for {} tokens", plan.context_tokens),
        Purpose::Tuning => writeln!(text, "{preset}, fine-tuning"),
    };
    if model.needs_token {
        text.push_str(NEEDS_TOKEN);
    }
    text.push_str(&model.commit.as_ref().map(Commit::line).unwrap_or_default());
    text.push_str(&subject.config);
    text.push_str(&offerings::lines(&subject.offerings));
    text.push_str(&fitting(subject, plan, &model.forecasts, args));
    text.push_str(&unfitting(subject, plan));
    text.push_str(&own_types::sources(plan));
    if !subject.instance_type.is_empty() {
        let known = plan.candidates.iter().any(|candidate| subject.chooses(candidate));
        let _ = if known {
            writeln!(text, "* what the Workspace asks for")
        } else if subject.rungs().len() > 1 {
            Ok(())
        } else {
            let name = printable(&subject.instance_type);
            writeln!(text, "The Workspace requests {name}, which is not listed.")
        };
    }
    for (asked, bought) in ladder::replaced(&subject.rungs(), plan, args.retired_instance_types) {
        text.push_str(&retired::replacement(asked, bought));
    }
    text.push_str(&ladder::of(&subject.rungs(), plan, args.retired_instance_types));
    text.push_str(&legend(plan));
    if args.explain {
        let is_wanted = |candidate: &Candidate| !args.instance_types.is_empty() || subject.chooses(candidate);
        text.push_str(&plan_sums::of(plan, &model.forecasts, is_wanted));
    }
    text
}

fn name_of(subject: &Subject, candidate: &Candidate) -> String {
    let mark = if subject.chooses(candidate) { "*" } else { " " };
    format!("{mark}{}", printable(&candidate.instance_type.name))
}

fn fitting(subject: &Subject, plan: &FitReport, forecasts: &[Option<Forecast>], args: &PlanArgs) -> String {
    let header = [
        " INSTANCE TYPE",
        ">NODES",
        ">GPUS",
        "PARALLEL",
        ">CONTEXT",
        ">$/HOUR",
        "~ON EACH GPU",
    ];
    let is_hidden =
        |candidate: &Candidate| !subject.chooses(candidate) && several::is_hidden(candidate, plan, args);
    let row = |candidate: &Candidate| {
        let (instance_type, fit) = candidate.fit().filter(|_| !is_hidden(candidate))?;
        Some(vec![
            name_of(subject, candidate),
            fit.placement.nodes.to_string(),
            fit.gpus.to_string(),
            parallel(&fit.placement),
            fit.max_context_tokens
                .map(|tokens| tokens.to_string())
                .unwrap_or_default(),
            fit.usd_micros_per_hour.map_or_else(|| "?".to_owned(), dollars),
            room(instance_type, fit),
        ])
    };
    let rows: Vec<_> = plan.candidates.iter().filter_map(row).collect();
    if rows.is_empty() {
        return "Nothing fits.\n".to_owned();
    }
    let hidden = plan.candidates.iter().filter(|candidate| is_hidden(candidate));
    let shown = plan.candidates.iter().zip(forecasts);
    let shown = shown.filter(|(candidate, _)| !is_hidden(candidate));
    let estimated =
        shown.filter_map(|(candidate, forecast)| Some((name_of(subject, candidate), forecast.as_ref()?)));
    table(&header, rows) + &several::note(hidden.count()) + &estimates::rows(estimated)
}

fn unfitting(subject: &Subject, plan: &FitReport) -> String {
    // The best alternative is the first row above.
    let is_news =
        |remedy: &&Remedy| !matches!(remedy, Remedy::OtherInstanceType { .. }) || plan.best().is_none();
    let row = |candidate: &Candidate| {
        let FitOutcome::Unfit(unfit) = &candidate.outcome else {
            return None;
        };
        let reasons: Vec<String> = unfit.reasons.iter().map(ToString::to_string).collect();
        let remedies: Vec<String> = unfit
            .remedies
            .iter()
            .filter(is_news)
            .map(ToString::to_string)
            .collect();
        let helps = if remedies.is_empty() {
            String::new()
        } else {
            format!(": {}", remedies.join(", or "))
        };
        let words = printable(&format!("{}{helps}", reasons.join("; ")));
        Some(vec![name_of(subject, candidate), words])
    };
    let rows: Vec<_> = plan.candidates.iter().filter_map(row).collect();
    if rows.is_empty() {
        String::new()
    } else {
        format!(
            "\n{}",
            table(&[" DOES NOT FIT", "~WHY, AND WHAT WOULD HELP"], rows)
        )
    }
}

fn room(instance_type: &InstanceType, fit: &Fit) -> String {
    let hardware = match &instance_type.gpu_model {
        Some(model) => {
            let gib = instance_type.gpu_memory_bytes_each() >> 30;
            format!("{gib} GiB {}", model.trim_start_matches("NVIDIA "))
        }
        None => "on the CPU".to_owned(),
    };
    match fit.headroom_bytes {
        Some(bytes) => format!("{hardware}, {} GiB free", gib(bytes)),
        None => hardware,
    }
}

/// Explains abbreviations and the source of prices; empty without both.
fn legend(plan: &FitReport) -> String {
    let divided = plan.fits().any(|(_, fit)| !parallel(&fit.placement).is_empty());
    let words = if divided {
        "tp, pp, dp: tensor, pipeline and data parallel. "
    } else {
        ""
    };
    let prices = plan
        .candidates
        .iter()
        .find_map(|candidate| candidate.instance_type.list_price.as_ref());
    let prices = prices.map_or_else(String::new, |price| {
        let (region, day) = (printable(&price.region), printable(&price.as_of));
        format!("Prices: list, {region}, {day}; ? if unknown.")
    });
    let estimates = match plan.purpose {
        Purpose::Inference if plan.best().is_some() => estimates::LEGEND,
        _ => "",
    };
    match format!("{words}{estimates}{prices}").trim_end() {
        "" => String::new(),
        line => format!("\n{}", wrapped(line, LEGEND_WIDTH)),
    }
}

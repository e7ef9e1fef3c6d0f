//! `deploy`: a Workspace of the best plan for a preset, created after its cost was shown.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use instance_types::dollars;
use kaito_api::Workspace;
use kube::Api;
use kube::api::PostParams;
use preset_catalog::estimate::{DEFAULT_CONTEXT_TOKENS, EngineOptions};
use preset_catalog::fit::{FitOptions, FitOutcome, FitReport, Purpose};

use crate::answer::Answer;
use crate::args::DeployArgs;
use crate::cluster::{in_time, refusal};
use crate::manifest::NewWorkspace;
use crate::output::printable;
use crate::source::{PresetSource, Question};

/// Field manager of what the plugin creates.
const MANAGER: &str = "kubectl-kaito";

/// Plans, shows the cost, and creates the Workspace or prints its manifest. It is a finding if nothing fits, or the user
/// declines.
pub(crate) async fn run(source: &PresetSource, args: &DeployArgs) -> anyhow::Result<Answer> {
    let preset = source.preset(&args.preset).await?;
    if preset.gated && args.model_access_secret.is_none() {
        bail!(
            "{} is gated at its model hub: create a Secret with the key HF_TOKEN and name it with --model-access-secret",
            printable(&preset.name)
        );
    }
    let plan = source
        .plan(&Question {
            preset: &args.preset,
            cloud: args.cloud,
            instance_types: &args.instance_types,
            context_tokens: args.context_tokens.unwrap_or(DEFAULT_CONTEXT_TOKENS),
            options: FitOptions {
                purpose: Purpose::Inference,
                max_nodes: args.max_nodes,
                engine: args.engine.facts(),
                settings: EngineOptions::DEFAULT,
            },
        })
        .await?;
    let secret = args.model_access_secret.as_deref();
    let Some(new) = NewWorkspace::of(&plan, args.name.as_deref(), args.context_tokens, secret)? else {
        return Ok(Answer {
            text: reasons(&plan),
            findings: true,
        });
    };
    if args.output.is_some() {
        return Ok(Answer::fine(new.yaml()));
    }
    create(args, &plan, &new).await
}

async fn create(args: &DeployArgs, plan: &FitReport, new: &NewWorkspace) -> anyhow::Result<Answer> {
    let access = args.cluster.connect().await?;
    let namespace = &access.namespace;
    let cost = cost(plan);
    if !args.yes
        && !confirmed(&format!(
            "{cost}Create Workspace {namespace}/{}? [y/N] ",
            new.name
        ))?
    {
        return Ok(Answer {
            text: "Nothing was created.\n".to_owned(),
            findings: true,
        });
    }
    let workspace: Workspace =
        serde_json::from_value(new.object()).context("failed to build the Workspace")?;
    let api: Api<Workspace> = Api::namespaced(access.client.clone(), namespace);
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    if let Err(error) = in_time(api.create(&params, &workspace)).await {
        let what = match refusal(&error) {
            Some(409) => format!(
                "Workspace {namespace}/{} exists: delete it, or choose another --name",
                new.name
            ),
            _ => format!("failed to create Workspace {namespace}/{}", new.name),
        };
        return Err(error.context(what));
    }
    let shown = if args.yes { cost.as_str() } else { "" };
    Ok(Answer::fine(format!(
        "{shown}Created Workspace {namespace}/{name}. Follow it: kubectl kaito status {name} --namespace {namespace} --watch\n",
        name = new.name
    )))
}

/// Describes what is bought.
fn cost(plan: &FitReport) -> String {
    let Some((instance_type, fit)) = plan.best() else {
        return String::new();
    };
    let nodes = fit.placement.nodes;
    let price = fit.usd_micros_per_hour.map_or_else(
        || "at an unknown price".to_owned(),
        |price| format!("${} an hour at list price", dollars(price)),
    );
    let mut text = format!(
        "{} on {nodes} {} of {}: {}, {price}",
        printable(&plan.preset),
        if nodes == 1 { "node" } else { "nodes" },
        printable(&instance_type.name),
        gpus(fit.gpus)
    );
    if let Some(tokens) = fit.max_context_tokens {
        let _ = write!(text, ", context of at most {tokens} tokens");
    }
    text.push('\n');
    text
}

fn gpus(count: u32) -> String {
    match count {
        1 => "1 GPU".to_owned(),
        count => format!("{count} GPUs"),
    }
}

/// Says why nothing fits.
fn reasons(plan: &FitReport) -> String {
    let mut text = "Nothing fits.\n".to_owned();
    for candidate in &plan.candidates {
        if let FitOutcome::Unfit(unfit) = &candidate.outcome {
            let reasons: Vec<String> = unfit.reasons.iter().map(ToString::to_string).collect();
            let name = printable(&candidate.instance_type.name);
            let _ = writeln!(text, "{name}: {}", printable(&reasons.join("; ")));
        }
    }
    text
}

/// Asks at the terminal. Only `y` and `yes` agree.
fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask: say --yes, or print the manifest with -o manifest");
    }
    let mut err = std::io::stderr().lock();
    err.write_all(question.as_bytes())?;
    err.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(["y", "yes"].contains(&line.trim().to_lowercase().as_str()))
}

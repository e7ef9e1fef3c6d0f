//! Subjects of `plan`: a preset, or the Workspaces of a file.

use anyhow::{Context as _, bail};
use kaito_api::{AllowedOfferings, labels};
use preset_catalog::Runtime;
use preset_catalog::estimate::EngineOptions;
use preset_catalog::fit::{Candidate, Purpose};
use serde_json::Value;

use crate::args::PlanArgs;
use crate::{commit, documents, ladder, offerings, settings};

/// A preset or a Workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subject {
    /// Name of the Workspace, if it is one.
    pub(crate) workspace: Option<String>,
    pub(crate) preset: String,
    pub(crate) purpose: Purpose,
    pub(crate) context_tokens: Option<u32>,
    /// Instance types of the Workspace, as it names them; empty if none is set.
    pub(crate) instance_type: String,
    /// True if the Workspace names a token for the hub, or an image with the weights.
    pub(crate) has_access: bool,
    /// Commit that the annotation of the Workspace names.
    pub(crate) commit: Option<String>,
    /// True if an image has the weights.
    pub(crate) has_image: bool,
    /// Settings of the ConfigMap that the Workspace names.
    pub(crate) settings: EngineOptions,
    /// Line about the ConfigMap; empty without one.
    pub(crate) config: String,
    /// Capacity types and zones that it names.
    pub(crate) offerings: AllowedOfferings,
}

impl Subject {
    /// The instance types in the order in which they are tried.
    pub(crate) fn rungs(&self) -> Vec<&str> {
        ladder::rungs(&self.instance_type)
    }

    /// Returns true if the Workspace names the instance type of the candidate.
    pub(crate) fn chooses(&self, candidate: &Candidate) -> bool {
        let name = &candidate.instance_type.name;
        self.rungs().iter().any(|rung| rung.eq_ignore_ascii_case(name))
    }
}

/// Returns the preset or the Workspaces that the arguments name.
///
/// # Errors
/// Fails if the file cannot be read, or a Workspace cannot be sized.
pub(crate) fn subjects(args: &PlanArgs) -> anyhow::Result<Vec<Subject>> {
    let (preset, path) = match (&args.preset, &args.filename) {
        (Some(preset), _) => (preset, None),
        (None, Some(path)) => (&String::new(), Some(path)),
        (None, None) => bail!("expected a preset, or a file with -f"),
    };
    let Some(path) = path else {
        return Ok(vec![Subject {
            workspace: None,
            preset: preset.clone(),
            purpose: if args.tuning {
                Purpose::Tuning
            } else {
                Purpose::Inference
            },
            ..Subject::default()
        }]);
    };
    let documents = documents::read(path)?;
    let workspaces = documents
        .iter()
        .filter(|document| documents::is_workspace(document));
    let subjects = workspaces.map(|workspace| of_workspace(workspace, &documents));
    let subjects: Vec<Subject> = subjects.collect::<anyhow::Result<_>>()?;
    if subjects.is_empty() {
        bail!("no Workspace found in {}", documents::name(path));
    }
    Ok(subjects)
}

fn of_workspace(document: &Value, documents: &[Value]) -> anyhow::Result<Subject> {
    let name = document["metadata"]["name"]
        .as_str()
        .unwrap_or("(without a name)");
    let purpose = if document["tuning"].is_object() {
        Purpose::Tuning
    } else {
        Purpose::Inference
    };
    let section = if purpose == Purpose::Tuning {
        "tuning"
    } else {
        "inference"
    };
    let preset = document[section]["preset"]["name"].as_str();
    let preset = preset.with_context(|| format!("Workspace {name} must name a preset to be sized"))?;
    let context = document["metadata"]["annotations"][labels::MAX_CONTEXT].as_str();
    let context = context.map(str::trim).filter(|text| !text.is_empty());
    let context_tokens = context.map(|text| {
        let tokens = text.parse().ok().filter(|tokens| *tokens > 0);
        tokens.with_context(|| {
            format!(
                "Workspace {name}: annotation {} must be a number",
                labels::MAX_CONTEXT
            )
        })
    });
    let (config, line) = settings::of(document, documents).with_context(|| format!("Workspace {name}"))?;
    let has_image =
        section == "inference" && is_set(&document["metadata"]["annotations"][labels::WEIGHTS_IMAGE]);
    Ok(Subject {
        workspace: Some(name.to_owned()),
        preset: preset.to_owned(),
        purpose,
        context_tokens: context_tokens
            .transpose()?
            .or(config.context_tokens(Runtime::Vllm)),
        settings: EngineOptions {
            host: config.host,
            ..config.options
        },
        config: line,
        offerings: offerings::of(document).with_context(|| format!("Workspace {name}"))?,
        instance_type: document["resource"]["instanceType"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        has_access: has_image || is_set(&document[section]["preset"]["presetOptions"]["modelAccessSecret"]),
        commit: commit::named(document),
        has_image,
    })
}

fn is_set(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

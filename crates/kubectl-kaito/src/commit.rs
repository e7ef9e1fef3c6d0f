//! The commit of a model, for people and as JSON.

use kaito_api::labels;
use kaito_api::workspace_status::ModelRevisionSource;
use preset_catalog::Preset;
use preset_catalog::estimate::EngineOptions;
use preset_catalog::fit::Purpose;
use preset_catalog::forecast::Forecast;
use serde_json::{Value, json};

use crate::output::printable;

/// Word for a preset without a commit.
pub(crate) const UNPINNED: &str = "unpinned";

/// The commit that a Workspace will use, as far as that is known before its first use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    commit: Option<String>,
    source: ModelRevisionSource,
}

/// Facts about the model of a plan that need no sizing.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// True for a gated preset without a Secret.
    pub(crate) needs_token: bool,
    /// The commit, if the model is downloaded from a hub.
    pub(crate) commit: Option<Commit>,
    /// Settings of the engine.
    pub(crate) settings: EngineOptions,
    /// Estimates of each candidate of the plan that fits.
    pub(crate) forecasts: Vec<Option<Forecast>>,
}

/// The commit that the annotation names. The rules of admission check it.
pub(crate) fn named(document: &Value) -> Option<String> {
    let commit = document["metadata"]["annotations"][labels::MODEL_REVISION].as_str()?;
    Some(printable(commit.trim())).filter(|commit| !commit.is_empty())
}

/// Returns the commit of a preset: that of the Workspace's annotation, else that of the preset. `None` if nothing is downloaded from
/// a hub.
pub(crate) fn of(preset: &Preset, purpose: Purpose, annotation: Option<&str>) -> Option<Commit> {
    let from_image = |preset: &Preset| {
        let profile = preset.tuning.as_ref();
        profile.is_none_or(|profile| profile.weights_files.is_empty())
    };
    if purpose == Purpose::Tuning && from_image(preset) {
        return None;
    }
    let source = match (annotation, &preset.revision) {
        (Some(_), _) => ModelRevisionSource::Annotation,
        (None, Some(_)) => ModelRevisionSource::Preset,
        (None, None) => ModelRevisionSource::Unpinned,
    };
    let commit = annotation.map(str::to_owned).or_else(|| preset.revision.clone());
    Some(Commit { commit, source })
}

impl Commit {
    /// Describes the commit in one line.
    pub(crate) fn line(&self) -> String {
        match &self.commit {
            Some(commit) => format!("Commit {commit}: {}.\n", self.source.describe()),
            None => format!(
                "Commit {UNPINNED}: a Workspace keeps that of its first use, or that of kaito.sh/model-revision.\n"
            ),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let source = json!(self.source);
        match &self.commit {
            Some(commit) => json!({"commit": commit, "source": source}),
            None => json!({"source": source}),
        }
    }
}

//! The commit of the model that a Workspace uses.
//!
//! The annotation names it, else the preset pins it, else it is the one that the hub had at the first use. That one is recorded
//! in a ControllerRevision of its own. The status could be lost with a restored cluster, and edited by those who may write
//! statuses. A ControllerRevision outlives the workload, serves tuning Jobs too, and a policy lets no tenant write it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::workspace_status::{ModelRevision, ModelRevisionSource};
use kaito_api::{Workspace, labels, names};
use plan::drift::apply_if_needed;
use plan::{Manifest, Write};
use preset_catalog::Preset;

use crate::context::PlanContext;
use crate::metadata::{self, annotation};
use crate::observed::{Observed, PresetLookup};
use crate::problem::Problem;
use crate::workload::Workload;

/// Number of the records. Those of workloads are higher.
const NUMBER: i64 = 0;

impl Observed {
    /// Replaces the preset by one at the commit that this Workspace uses. Requires the Workspace and its revisions.
    #[must_use]
    pub fn at_fixed_commit(mut self) -> Self {
        let fix = |preset: Arc<Preset>| at_commit(&self.workspace, &self.revisions, preset);
        (self.preset, self.model_source) = match self.preset {
            PresetLookup::Found(preset) => {
                let (preset, source) = fix(preset);
                (PresetLookup::Found(preset), source)
            }
            PresetLookup::Unavailable {
                message,
                last_good: Some(preset),
            } => {
                let (preset, source) = fix(preset);
                let last_good = Some(preset);
                (PresetLookup::Unavailable { message, last_good }, source)
            }
            other => (other, ModelRevisionSource::Unpinned),
        };
        self
    }
}

fn at_commit(
    workspace: &Workspace,
    revisions: &[Arc<ControllerRevision>],
    preset: Arc<Preset>,
) -> (Arc<Preset>, ModelRevisionSource) {
    let (commit, source) = if let Some(commit) = asked(workspace) {
        (Some(commit.to_owned()), ModelRevisionSource::Annotation)
    } else if preset.revision.is_some() {
        (preset.revision.clone(), ModelRevisionSource::Preset)
    } else {
        match first_use(workspace, revisions, &preset) {
            Some(commit) => (Some(commit), ModelRevisionSource::FirstUse),
            None => (None, ModelRevisionSource::Unpinned),
        }
    };
    if preset.revision == commit {
        return (preset, source);
    }
    let preset = Preset {
        revision: commit,
        ..Preset::clone(&preset)
    };
    (Arc::new(preset), source)
}

/// The commit that is recorded, unless a newer one was asked for since; else the head of the hub's branch.
fn first_use(
    workspace: &Workspace,
    revisions: &[Arc<ControllerRevision>],
    preset: &Preset,
) -> Option<String> {
    let name = record_name(workspace.name(), &preset.hub_id);
    let record = records(workspace, revisions)
        .find(|object| object.metadata.name.as_deref() == Some(&name))
        .and_then(|object| Some((object, recorded(object)?)));
    let Some((record, commit)) = record else {
        return preset.head.clone();
    };
    let upgrade = workspace.annotation(labels::UPGRADE);
    let is_asked = upgrade.is_some() && upgrade != annotation(&record.metadata, labels::UPGRADE);
    match &preset.head {
        Some(head) if is_asked => Some(head.clone()),
        _ => Some(commit.to_owned()),
    }
}

fn record_name(workspace: &str, hub_id: &str) -> String {
    let digest = names::digest(&["model", &hub_id.to_lowercase()]);
    names::revision(workspace, &digest)
}

fn records<'a>(
    workspace: &'a Workspace,
    revisions: &'a [Arc<ControllerRevision>],
) -> impl Iterator<Item = &'a ControllerRevision> {
    let is_own = |object: &&ControllerRevision| {
        let owner = metadata::controller(&object.metadata);
        metadata::is_live(&object.metadata) && owner.is_some_and(|owner| owner.uid == workspace.uid())
    };
    revisions.iter().map(AsRef::as_ref).filter(is_own)
}

fn recorded(record: &ControllerRevision) -> Option<&str> {
    annotation(&record.metadata, labels::MODEL_REVISION).filter(|commit| is_commit(commit))
}

/// The write that records the commit of the first use, or of an upgrade.
pub(crate) fn record(context: &PlanContext<'_>, preset: &Preset) -> Option<Write> {
    let commit = preset.revision.as_ref()?;
    if context.observed.model_source != ModelRevisionSource::FirstUse {
        return None;
    }
    let workspace = context.workspace();
    let upgrade = workspace.annotation(labels::UPGRADE);
    let annotations = [
        Some((labels::MODEL_REVISION, commit.as_str())),
        upgrade.map(|upgrade| (labels::UPGRADE, upgrade)),
    ];
    let annotations: BTreeMap<String, String> = annotations
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let name = record_name(workspace.name(), &preset.hub_id);
    let mut kept = records(workspace, &context.observed.revisions);
    let kept = kept.find(|object| object.metadata.name.as_deref() == Some(&name));
    let record = render::model_record(workspace, (name, NUMBER), annotations, &preset.hub_id);
    apply_if_needed(Manifest::from(record), kept)
}

/// The note about a newer commit of a model that serves.
pub(crate) fn newer(context: &PlanContext<'_>, preset: &Preset) -> Option<Problem> {
    let (commit, head) = (preset.revision.as_ref()?, preset.head.as_ref()?);
    let is_fixed = context.observed.model_source == ModelRevisionSource::FirstUse;
    (is_fixed && commit != head && context.workload.is_some()).then(|| {
        let cause = format!("commit of {} on the hub: {commit} -> {head}", preset.hub_id);
        Problem::new(WorkspaceReason::UpgradeAvailable, cause)
    })
}

/// Checks the annotation.
pub(crate) fn check(context: &PlanContext<'_>) -> Result<(), Problem> {
    match context.workspace().annotation(labels::MODEL_REVISION) {
        Some(text) if !is_sha1(text) => Err(Problem::invalid(format!(
            "annotation {} is {text:?} and must be {COMMIT}",
            labels::MODEL_REVISION
        ))),
        _ => Ok(()),
    }
}

/// Returns true if the annotation names another commit than the workload has.
pub(crate) fn is_edited(context: &PlanContext<'_>) -> bool {
    let pod = context.workload.and_then(Workload::pod_spec);
    let used = pod.and_then(render::commit_in);
    let asked = asked(context.workspace());
    asked.is_some() && used.is_some_and(|used| used != asked)
}

/// Refuses the annotation where nothing would follow it.
pub(crate) fn check_effect(context: &PlanContext<'_>, because: &str) -> Result<(), Problem> {
    match context.workspace().annotation(labels::MODEL_REVISION) {
        Some(_) => Err(Problem::invalid(format!(
            "annotation {} has no effect: {because}",
            labels::MODEL_REVISION
        ))),
        None => Ok(()),
    }
}

/// The commit for the status: that of the workload, else the one that it will have.
pub(crate) fn status(context: &PlanContext<'_>) -> Option<ModelRevision> {
    let wanted = match &context.observed.preset {
        PresetLookup::Found(preset)
        | PresetLookup::Unavailable {
            last_good: Some(preset),
            ..
        } => Some(preset.as_ref()),
        _ => None,
    };
    let source = context.observed.model_source;
    let Some(workload) = context.workload else {
        let workspace = context.workspace();
        let downloads = |preset: &&Preset| match workspace.spec.tuning {
            Some(_) => downloads_for_tuning(preset),
            None => workspace.annotation(labels::WEIGHTS_IMAGE).is_none(),
        };
        let wanted = wanted.filter(downloads)?;
        let commit = wanted.revision.clone();
        return Some(ModelRevision { commit, source });
    };
    let commit = match render::commit_in(workload.pod_spec()?)? {
        Some(commit) => commit,
        None => {
            let source = ModelRevisionSource::Unpinned;
            return Some(ModelRevision { commit: None, source });
        }
    };
    let is_recorded = || {
        let mut all = records(context.workspace(), &context.observed.revisions);
        all.any(|record| recorded(record) == Some(commit))
    };
    let old = context.status().and_then(|status| status.model_revision.as_ref());
    let old = old.filter(|old| old.commit.as_deref() == Some(commit));
    let source = match (wanted, old) {
        _ if asked(context.workspace()) == Some(commit) => ModelRevisionSource::Annotation,
        (Some(_), _) if source == ModelRevisionSource::Preset => source,
        _ if is_recorded() => ModelRevisionSource::FirstUse,
        // The registry has not answered yet.
        (None, Some(old)) => old.source,
        // An earlier commit, whose request is gone.
        _ => ModelRevisionSource::Revision,
    };
    let commit = Some(commit.to_owned());
    Some(ModelRevision { commit, source })
}

/// Returns true if tuning downloads the weights from the hub. Otherwise an image holds them.
pub(crate) fn downloads_for_tuning(preset: &Preset) -> bool {
    let profile = preset.tuning.as_ref();
    profile.is_some_and(|profile| !profile.weights_files.is_empty())
}

const COMMIT: &str = "a commit of the model on its hub: 40 digits of 0-9 and a-f";

fn asked(workspace: &Workspace) -> Option<&str> {
    workspace
        .annotation(labels::MODEL_REVISION)
        .filter(|text| is_sha1(text))
}

fn is_sha1(text: &str) -> bool {
    text.len() == 40 && is_commit(text)
}

/// Returns true for a commit of Git. A branch would move.
fn is_commit(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    [40, 64].contains(&text.len()) && text.bytes().all(is_digit)
}

//! Validation of presets, built-in and user ones.
//!
//! Reports all problems and repairs none.

mod bounds;
mod engine;

use std::collections::BTreeMap;

use crate::preset::{AttentionKind, InferenceProfile, ModelShape, Preset, Runtime, TuningProfile};
use crate::problem::{MAX_NAME_LENGTH, Problem};

/// A rule violation of a preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("preset `{preset}`: {problem}")]
pub struct PresetViolation {
    /// Short name of the preset.
    pub preset: String,
    /// The problem.
    pub problem: Problem,
}

impl Preset {
    /// Returns the problems of this preset, independent of others. Presets of another program must be checked with it.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        own_problems(self)
    }
}

/// Returns all violations, in the order of the presets.
pub(crate) fn violations(presets: &[Preset]) -> Vec<PresetViolation> {
    let mut owners = BTreeMap::new();
    let mut found = Vec::new();
    for preset in presets {
        let mut problems = own_problems(preset);
        problems.extend(name_problems(preset, &mut owners));
        found.extend(problems.into_iter().map(|problem| PresetViolation {
            preset: preset.name.clone(),
            problem,
        }));
    }
    found
}

/// Names of a preset in lower case: short name, aliases, hub id.
pub(crate) fn names(preset: &Preset) -> impl Iterator<Item = String> {
    let aliases = preset.aliases.iter().map(|alias| alias.to_lowercase());
    std::iter::once(preset.name.to_lowercase())
        .chain(aliases)
        .chain([preset.hub_id.to_lowercase()])
}

fn name_problems(preset: &Preset, owners: &mut BTreeMap<String, String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in names(preset) {
        if let Some(owner) = owners.get(&name) {
            problems.push(Problem::NameTaken {
                name,
                owner: owner.clone(),
            });
        } else {
            owners.insert(name, preset.name.clone());
        }
    }
    problems
}

/// Returns the problems of a preset, independent of others.
pub(crate) fn own_problems(preset: &Preset) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !is_hub_id(&preset.hub_id) {
        problems.push(Problem::BadHubId(preset.hub_id.clone()));
    }
    let names = std::iter::once(&preset.name).chain(&preset.aliases);
    problems.extend(
        names
            .filter(|name| !is_name(name))
            .map(|name| Problem::BadName(name.clone())),
    );
    problems.extend(empty_texts(preset).map(Problem::Empty));
    problems.extend(zero_sizes(preset).map(Problem::Zero));
    problems.extend(contradictions(&preset.shape).map(Problem::Contradiction));
    problems.extend(revision_problems(preset));
    problems.extend(head_problems(preset));
    problems.extend(bounds::problems(preset));
    problems.extend(preset.inference.iter().flat_map(inference_problems));
    problems.extend(preset.inference.iter().flat_map(engine::problems));
    problems.extend(preset.tuning.iter().flat_map(tuning_problems));
    problems
}

fn empty_texts(preset: &Preset) -> impl Iterator<Item = &'static str> {
    let shape = &preset.shape;
    let blank = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let checks = [
        (preset.license.trim().is_empty(), "license"),
        (shape.architecture.trim().is_empty(), "architecture"),
        (blank(&preset.deprecated), "deprecated"),
        (blank(&shape.quantization), "quantization"),
    ];
    checks
        .into_iter()
        .filter_map(|(empty, field)| empty.then_some(field))
}

fn revision_problems(preset: &Preset) -> Option<Problem> {
    let runs_code = preset
        .inference
        .as_ref()
        .is_some_and(|profile| profile.trust_remote_code);
    match &preset.revision {
        None => runs_code.then_some(Problem::UnpinnedCode),
        Some(revision) if is_commit(revision) => None,
        Some(revision) => Some(Problem::BadRevision(revision.clone())),
    }
}

fn head_problems(preset: &Preset) -> Option<Problem> {
    let head = preset.head.as_ref().filter(|head| !is_commit(head))?;
    Some(Problem::BadRevision(head.clone()))
}

/// Returns true for a commit of Git, which never changes: a branch or tag does.
fn is_commit(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    [40, 64].contains(&text.len()) && text.bytes().all(is_digit)
}

fn contradictions(shape: &ModelShape) -> impl Iterator<Item = &'static str> {
    let hybrid = shape.hybrid_cache;
    let layers = shape.layers.unwrap_or_default();
    let kept = hybrid.map_or(0, |cache| {
        u64::from(cache.full_layers) + u64::from(cache.window_layers)
    });
    let heads = shape.attention_heads.zip(shape.kv_heads);
    let checks = [
        (
            layers > 0 && !shape.kv_bytes_per_token.is_multiple_of(u64::from(layers)),
            "kv_bytes_per_token is not a multiple of layers",
        ),
        (
            heads.is_some_and(|(heads, kv_heads)| kv_heads > 0 && !heads.is_multiple_of(kv_heads)),
            "attention_heads is not a multiple of kv_heads",
        ),
        (
            shape.attention == Some(AttentionKind::Mla) && shape.kv_heads.is_some(),
            "latent attention (MLA) must not have kv_heads",
        ),
        (
            shape.attention == Some(AttentionKind::Mqa) && shape.kv_heads.is_some_and(|heads| heads != 1),
            "multi-query attention (MQA) has one of kv_heads",
        ),
        (
            shape
                .active_weights_bytes
                .is_some_and(|active| active == 0 || active > shape.weights_bytes),
            "active_weights must be a part of weights",
        ),
        (
            hybrid.is_some() && layers == 0,
            "hybrid_cache takes the number of layers",
        ),
        (
            layers > 0 && kept > u64::from(layers),
            "hybrid_cache has more layers than the model",
        ),
        (
            hybrid.is_some_and(|cache| (cache.window_layers > 0) != (cache.window_tokens > 0)),
            "hybrid_cache must have window_tokens exactly when it has window_layers",
        ),
    ];
    checks
        .into_iter()
        .filter_map(|(broken, what)| broken.then_some(what))
}

fn zero_sizes(preset: &Preset) -> impl Iterator<Item = &'static str> {
    let shape = &preset.shape;
    let checks = [
        (shape.weights_bytes == 0, "weights"),
        (shape.max_context_tokens == 0, "max_context_tokens"),
        (shape.kv_bytes_per_token == 0, "kv_bytes_per_token"),
        (shape.layers == Some(0), "layers"),
        (shape.attention_heads == Some(0), "attention_heads"),
        (shape.kv_heads == Some(0), "kv_heads"),
        (
            preset.tuning.as_ref().is_some_and(|tuning| tuning.disk_gib == 0),
            "tuning.disk_gib",
        ),
    ];
    checks
        .into_iter()
        .filter_map(|(zero, field)| zero.then_some(field))
}

fn inference_problems(profile: &InferenceProfile) -> Vec<Problem> {
    let mut problems = Vec::new();
    if profile.runtimes.is_empty() {
        problems.push(Problem::Empty("runtimes"));
    }
    if has_duplicates(&profile.runtimes) {
        problems.push(Problem::Repeated("runtimes"));
    }
    if profile.cpu && !profile.runtimes.contains(&Runtime::Native) {
        problems.push(Problem::CpuWithoutNativeRuntime);
    }
    problems
}

fn tuning_problems(profile: &TuningProfile) -> Vec<Problem> {
    let mut problems = Vec::new();
    if profile.methods.is_empty() {
        problems.push(Problem::Empty("tuning.methods"));
    }
    if has_duplicates(&profile.methods) {
        problems.push(Problem::Repeated("tuning.methods"));
    }
    problems.extend(weights_problems(profile));
    problems
}

fn weights_problems(profile: &TuningProfile) -> Vec<Problem> {
    let (image, files) = (&profile.weights_image, &profile.weights_files);
    let named = |image: &str| {
        image
            .split_once(':')
            .is_some_and(|(repository, tag)| is_name(repository) && !tag.is_empty())
    };
    match (image.is_empty(), files.is_empty()) {
        (false, false) => vec![Problem::Contradiction(
            "tuning must have either weights_image or weights_files",
        )],
        (_, true) if named(image) => Vec::new(),
        (_, true) => vec![Problem::BadWeightsImage(image.clone())],
        (true, false) => {
            let odd = files.iter().filter(|name| !is_file_name(name));
            odd.map(|name| Problem::BadWeightsFile(name.clone())).collect()
        }
    }
}

/// Returns true for a plain file name: it becomes the end of a URL and a file in a directory.
fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

fn has_duplicates<T: PartialEq>(items: &[T]) -> bool {
    items
        .iter()
        .enumerate()
        .any(|(index, item)| items[..index].contains(item))
}

fn is_hub_id(text: &str) -> bool {
    text.split_once('/').is_some_and(|(owner, repository)| {
        is_name(&owner.to_lowercase()) && is_name(&repository.to_lowercase())
    })
}

/// Returns true for a label value in lower case: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.
fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= MAX_NAME_LENGTH
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes
            .iter()
            .all(|byte| alphanumeric(byte) || b"-_.".contains(byte))
}

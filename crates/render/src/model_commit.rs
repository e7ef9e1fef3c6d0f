//! The commit of the model in a rendered pod.

use k8s_openapi::api::core::v1::PodSpec;

use crate::weights::WEIGHTS_STEP;

/// Returns the commit that a pod of ours downloads, `None` for the head of the default branch. The outer value is `None` if the
/// pod downloads no model from a hub.
#[must_use]
pub fn commit_in(pod: &PodSpec) -> Option<Option<&str>> {
    let mut steps = pod.init_containers.iter().flatten();
    let step = steps.find(|step| [WEIGHTS_STEP, TUNING_WEIGHTS_STEP].contains(&step.name.as_str()))?;
    let mut args = step.command.iter().chain(&step.args).flatten();
    if step.name == WEIGHTS_STEP {
        // Otherwise it pulls an image with the weights.
        args.next().filter(|command| *command == "weights")?;
        return Some(args.find_map(|arg| arg.strip_prefix("--revision=")));
    }
    let (_, rest) = args.find_map(|arg| arg.split_once("/resolve/"))?;
    let (revision, _) = rest.split_once('/')?;
    Some(Some(revision).filter(|revision| *revision != DEFAULT_BRANCH))
}

/// Name of the default branch, as hubs call it.
pub(crate) const DEFAULT_BRANCH: &str = "main";
/// Name of the step that downloads the weights of a model to tune.
pub(crate) const TUNING_WEIGHTS_STEP: &str = "model-weights-downloader";

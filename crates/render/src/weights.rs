//! Weights of a model in a volume of the pod, before the engine starts.
//!
//! A step downloads them from the hub. So the engine gets no token for the hub and no reason to leave the cluster, and its
//! restart downloads nothing. Checksums are checked. The pod's status says when the weights were there and how large they are.
//!
//! Weights in an image need no step where kubelets mount images: the image store of the node keeps them for later pods.
//! Elsewhere the step pulls the image.

use k8s_openapi::api::core::v1::{Container, Volume, VolumeMount};
use preset_catalog::Runtime;

use crate::inference::Inference;
use crate::{artifact, paths, pod, volume};

/// Name of the step's container.
pub const WEIGHTS_STEP: &str = "weights";
/// Flag of vLLM that names the layout, spelled as users and as presets do, and its value for Mistral's own.
const LAYOUT: [&str; 2] = ["load-format", "load_format"];
const MISTRAL: &str = "mistral";

/// Additions to a pod.
pub(crate) struct PodWeights {
    /// The step, if one fills the volume.
    pub(crate) step: Option<Container>,
    /// The volume with the weights, and its mount for the engine.
    pub(crate) volume: (Volume, VolumeMount),
    /// Credentials of the step.
    pub(crate) credentials: Option<Volume>,
}

/// Renders the step and the volumes.
pub(crate) fn parts(inference: &Inference<'_>) -> PodWeights {
    if let Some(image) = mounted_image(inference) {
        return PodWeights {
            step: None,
            volume: volume::weights_of_image(image),
            credentials: None,
        };
    }
    let (step, credentials) = match inference.weights_image {
        Some(image) => pull(inference, image),
        None => download(inference),
    };
    PodWeights {
        step: Some(step),
        volume: volume::weights(),
        credentials,
    }
}

/// Directory from which the engine reads the weights.
pub(crate) fn directory(inference: &Inference<'_>) -> &'static str {
    match mounted_image(inference) {
        Some(_) => paths::WEIGHTS_OF_IMAGE,
        None => paths::WEIGHTS,
    }
}

/// The image with the weights, if it is mounted as a volume.
fn mounted_image<'a>(inference: &Inference<'a>) -> Option<&'a str> {
    inference
        .weights_image
        .filter(|_| inference.platform.image_volumes)
}

/// Container that pulls an image as the kubelet would: with the pull secrets of the pod.
fn pull(inference: &Inference<'_>, image: &str) -> (Container, Option<Volume>) {
    let secrets = inference
        .options()
        .map_or(&[][..], |options| &options.image_pull_secrets);
    let (_, mount) = volume::weights();
    artifact::puller(
        WEIGHTS_STEP,
        (image, secrets),
        (paths::WEIGHTS, mount),
        inference.platform,
    )
}

/// Container that downloads the weights from the hub, and the volume with the token for it.
fn download(inference: &Inference<'_>) -> (Container, Option<Volume>) {
    let preset = inference.preset;
    let mut args = vec![
        "weights".to_owned(),
        format!("--to={}", paths::WEIGHTS),
        format!("--hub-endpoint={}", inference.platform.downloads.hub),
        format!("--model={}", pod::escape(&preset.hub_id)),
    ];
    args.extend(
        preset
            .revision
            .as_ref()
            .map(|commit| format!("--revision={commit}")),
    );
    if is_mistral(inference) {
        args.push(format!("--layout={MISTRAL}"));
    }
    let (_, mount) = volume::weights();
    let mut mounts = vec![mount];
    let token = token(inference).map(|(volume, mount)| {
        args.push(format!(
            "--hub-token-file={}/{}",
            paths::HUB_SECRET,
            pod::HUB_TOKEN
        ));
        mounts.push(mount);
        volume
    });
    let container = artifact::container(WEIGHTS_STEP, args, mounts, inference.platform);
    (container, token)
}

/// Returns true if vLLM reads Mistral's own layout. The user's settings win over the preset's.
fn is_mistral(inference: &Inference<'_>) -> bool {
    let sets = [&inference.user_flags, &inference.profile.vllm_flags];
    let layout = sets
        .into_iter()
        .find_map(|flags| LAYOUT.into_iter().find_map(|flag| flags.get(flag)));
    inference.engine == Runtime::Vllm && layout.is_some_and(|layout| layout == MISTRAL)
}

/// Volume with the hub's token, if the Workspace names a Secret.
fn token(inference: &Inference<'_>) -> Option<(Volume, VolumeMount)> {
    let secret = pod::hub_secret(inference.options())?;
    let volume = volume::hub_token(secret, inference.preset.gated);
    let mount = volume::mount_read_only(&volume.name, paths::HUB_SECRET);
    Some((volume, mount))
}

//! Weights of a model in a volume of the pod, before the engine starts.
//!
//! A step downloads them from the hub. So the engine gets no token for the hub and no reason to leave the cluster, and its
//! restart downloads nothing. Checksums are checked. The pod's status says when the weights were there and how large they are.
//!
//! A storage class keeps them beyond the pod, in a volume for each place in the StatefulSet. The step finds them complete at the
//! next start. Other weights, of another commit or model, replace them.
//!
//! Weights in an image need no step where kubelets mount images: the image store of the node keeps them for later pods.
//! Elsewhere the step pulls the image.

use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, Volume, VolumeMount};
use preset_catalog::Runtime;

use crate::inference::Inference;
use crate::{artifact, paths, pod, volume};

/// Name of the step's container.
pub const WEIGHTS_STEP: &str = "weights";
/// Flag of vLLM that names the layout, spelled as users and as presets do, and its value for Mistral's own.
const LAYOUT: [&str; 2] = ["load-format", "load_format"];
const MISTRAL: &str = "mistral";
/// Room in a volume for the files beside the weights, in GiB.
const RESERVE_GIB: u64 = 2;

/// Additions to a pod.
pub(crate) struct PodWeights {
    /// The step, if one fills the volume.
    pub(crate) step: Option<Container>,
    /// The volume with the weights, unless the StatefulSet has a template of it.
    pub(crate) volume: Option<Volume>,
    /// Mount of the weights for the engine.
    pub(crate) mount: VolumeMount,
    /// Credentials of the step.
    pub(crate) credentials: Option<Volume>,
}

/// Renders the step and the volumes.
pub(crate) fn parts(inference: &Inference<'_>) -> PodWeights {
    if let Some(image) = mounted_image(inference) {
        let (volume, mount) = volume::weights_of_image(image);
        return PodWeights {
            step: None,
            volume: Some(volume),
            mount,
            credentials: None,
        };
    }
    let (step, credentials) = match inference.weights_image {
        Some(image) => pull(inference, image),
        None => download(inference),
    };
    let volume = || volume::weights(inference.profile.disk_gib);
    PodWeights {
        step: Some(step),
        volume: storage_class(inference).is_none().then(volume),
        mount: volume::weights_mount(),
        credentials,
    }
}

/// Storage class of volumes that keep the weights. They keep what the hub has: a registry is asked for every pod.
pub(crate) fn storage_class<'a>(inference: &'a Inference<'_>) -> Option<&'a str> {
    let class = inference.serving.weights_class.as_deref();
    class.filter(|_| inference.weights_image.is_none())
}

/// Template of the volumes that keep the weights.
pub(crate) fn claim_template(inference: &Inference<'_>) -> Option<PersistentVolumeClaim> {
    let class = storage_class(inference)?;
    let weights = inference.preset.shape.weights_bytes.div_ceil(1 << 30);
    let gib = weights.max(u64::from(inference.profile.download_gib()));
    // Some systems of files take a twentieth for themselves, and what was there before is removed first.
    let gib = gib.saturating_add(gib.div_ceil(8)).saturating_add(RESERVE_GIB);
    Some(volume::claim_template(inference.workspace, class, gib))
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
    let secrets = pod::pull_secrets(inference.options(), &inference.platform.images);
    let mount = volume::weights_mount();
    artifact::puller(
        WEIGHTS_STEP,
        (image, &secrets),
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
    let mount = volume::weights_mount();
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

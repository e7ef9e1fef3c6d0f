//! Step that downloads the weights of a model to a volume of the pod, before the engine starts.
//!
//! So the engine gets no token for the hub and no reason to leave the cluster, and its restart downloads nothing. Checksums are
//! checked. The pod's status says when the weights were there and how large they are.

use k8s_openapi::api::core::v1::{Container, Volume, VolumeMount};
use preset_catalog::Runtime;

use crate::inference::Inference;
use crate::{artifact, paths, pod, volume};

/// Name of the step's container.
pub const WEIGHTS_STEP: &str = "weights";
/// Flag of vLLM that names the layout, spelled as users and as presets do, and its value for Mistral's own.
const LAYOUT: [&str; 2] = ["load-format", "load_format"];
const MISTRAL: &str = "mistral";

/// Renders the container, and the volume with the token for the hub.
pub(crate) fn step(inference: &Inference<'_>) -> (Container, Option<Volume>) {
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

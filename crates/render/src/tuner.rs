//! The container that tunes: the base image's Python scripts on GPUs, or our `tuning-job` on CPUs.
//!
//! | argument of `tuning-job` | meaning |
//! |---|---|
//! | `--config` | `training_config.yaml`, the user's or ours |
//! | `--data` | directory of the data set |
//! | `--model` | directory of the weights, unless the configuration names another |
//! | `--output-dir` | directory of the adapter. It overrides the configuration: the pusher reads only this one |
//! | `--base-model-name` | model hub repository, for `adapter_config.json` |
//! | `--port` | port of its progress and metrics |

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use kaito_api::Workspace;
use preset_catalog::training_config::TRAINING_CONFIG_KEY;

use crate::push::{PUSH_CHECK, PUSH_RESULT, PUSHER};
use crate::tuning::{Tuner, Tuning};
use crate::{paths, pod, server};

/// LoRA target modules of Phi-3, which the tuning scripts do not know.
const PHI3_MODULES: &str = "k_proj,q_proj,v_proj,o_proj,gate_proj,down_proj,up_proj";

/// Names of other containers of the pod.
const TAKEN: [&str; 6] = [
    PUSH_CHECK,
    PUSHER,
    PUSH_RESULT,
    "model-weights-downloader",
    "data-downloader",
    "data-puller",
];

/// Name of the container that tunes: the Workspace's, unless another container has it.
pub(crate) fn name(workspace: &Workspace) -> String {
    match workspace.name() {
        name if TAKEN.contains(&name) => "tuning".to_owned(),
        name => name.to_owned(),
    }
}

/// Renders the container that tunes. It serves its metrics meanwhile.
pub(crate) fn container(tuning: &Tuning<'_>, mounts: Vec<VolumeMount>) -> Container {
    let container = match tuning.tuner {
        Tuner::Scripts => scripts(tuning),
        Tuner::Native => native(tuning),
    };
    Container {
        name: name(tuning.workspace),
        ports: Some(vec![server::http_port()]),
        volume_mounts: Some(mounts),
        ..container
    }
}

fn scripts(tuning: &Tuning<'_>) -> Container {
    let gpus = tuning.hardware.gpu.gpus;
    let script = format!(
        "cd /workspace/tfs/ && python3 metrics_server.py & accelerate launch --num_processes={gpus} /workspace/tfs/fine_tuning.py"
    );
    let mut env = pod::home_env();
    if tuning.preset.name.starts_with("phi-3") {
        env.push(pod::env("DEFAULT_TARGET_MODULES", PHI3_MODULES));
    }
    env.push(pod::env("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"));
    env.extend(pod::hub_token(tuning.options(), tuning.preset.gated));
    Container {
        image: Some(pod::image(tuning.options(), &tuning.platform.images.base)),
        command: Some(["/bin/sh".to_owned(), "-c".to_owned(), script].into()),
        env: Some(env),
        resources: pod::gpus(gpus),
        ..Container::default()
    }
}

fn native(tuning: &Tuning<'_>) -> Container {
    let args = vec![
        format!("--config={}/{}", paths::CONFIG, TRAINING_CONFIG_KEY),
        format!("--data={}", paths::DATA),
        format!("--model={}", paths::WEIGHTS),
        format!("--output-dir={}", paths::TUNING_RESULTS),
        format!("--base-model-name={}", tuning.preset.hub_id),
        format!("--port={}", paths::HTTP_PORT),
    ];
    let mut env = pod::home_env();
    env.push(pod::env("TMPDIR", paths::HOME));
    Container {
        image: Some(pod::image(tuning.options(), &tuning.platform.images.tuning_job)),
        args: Some(args),
        env: Some(env),
        ..Container::default()
    }
}

//! The container that tunes: the base image's Python scripts on GPUs, or our `tuning-job` on processors.
//!
//! | argument of `tuning-job` | meaning |
//! |---|---|
//! | `--config` | `training_config.yaml`, the user's or ours |
//! | `--data` | the data set |
//! | `--model` | the weights, unless the configuration names another directory |
//! | `--output-dir` | where the adapter goes, whatever the configuration says: the pusher looks nowhere else |
//! | `--base-model-name` | model hub repository, for `adapter_config.json` |
//! | `--port` | where it shows how far it is |

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use crate::tuning::Tuning;
use crate::{inference, meta, paths, pod};

/// Layers that the tuning scripts would not find in a Phi-3 by themselves.
const PHI3_MODULES: &str = "k_proj,q_proj,v_proj,o_proj,gate_proj,down_proj,up_proj";

/// Which program tunes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuner {
    /// The Python scripts of the base image, on the GPUs of the node.
    Scripts,
    /// Our `tuning-job`, on the processors of the node.
    Native,
}

/// The container that tunes, and serves its metrics meanwhile.
pub(crate) fn container(tuning: &Tuning<'_>, mounts: Vec<VolumeMount>) -> Container {
    let container = match tuning.tuner {
        Tuner::Scripts => scripts(tuning),
        Tuner::Native => native(tuning),
    };
    Container {
        name: meta::name(tuning.workspace).to_owned(),
        ports: Some(vec![inference::http_port()]),
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
    env.extend(pod::hub_token(tuning.options()));
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
        format!("--config={}/{}", paths::CONFIG, paths::TRAINING_CONFIG_KEY),
        format!("--data={}", paths::DATA),
        format!("--model={}", paths::WEIGHTS),
        format!("--output-dir={}", paths::RESULTS),
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

//! Container of the vLLM engine: command line, environment, probes.
//!
//! The command is the base image's wrapper `inference_api.py`, which passes unknown arguments to vLLM.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector};
use kaito_api::{labels, names};

use crate::downloads::Downloads;
use crate::inference::Inference;
use crate::{pod, probe, server, weights};

/// Fraction of a GPU's memory that the engine takes.
const GPU_MEMORY: &str = "0.84";
/// The same for the A10, whose driver leaves less.
const GPU_MEMORY_A10: &str = "0.82";

/// Share of the node's memory for a part of the KV cache.
const CPU_CACHE: &str = "kaito-kv-cache-cpu-memory-utilization";

/// Script that starts the engine on the first pod and a Ray worker on the others. The engine's command comes as
/// arguments, so nothing needs quoting.
///
/// Ray and vLLM would guess the address of a pod from its route to the Internet, and take the loopback where there is none.
/// A pod is alone until the weights are on all nodes, so it waits as long as the model may take to start.
const GROUP_SCRIPT: &str = r#"group="--ray_port=6379 --ray_init_timeout=$START_SECONDS --node-ip-address=$VLLM_HOST_IP"
if [ "$POD_INDEX" = "0" ]; then
  /workspace/vllm/multi-node-serving.sh leader --ray_cluster_size="$NODES" $group && exec "$@"
else
  exec /workspace/vllm/multi-node-serving.sh worker --ray_address="$LEADER" $group
fi"#;

/// Renders the container, without its mounts.
pub(crate) fn container(inference: &Inference<'_>) -> Container {
    let base = server::container(inference, &inference.platform.images.base, environment(inference));
    let engine = ["python3", "/workspace/vllm/inference_api.py"].map(str::to_owned);
    let timeout = inference.profile.readiness_timeout_seconds;
    if !inference.spans_nodes() {
        let container = Container {
            command: Some(engine.to_vec()),
            args: Some(arguments(inference)),
            ..base
        };
        let scheme = inference.serving.scheme().filter(|_| inference.has_front());
        return probe::http(container, timeout, scheme.as_deref());
    }
    let shell = ["/bin/sh", "-c", GROUP_SCRIPT, "vllm"].map(str::to_owned);
    let args = engine.into_iter().chain(arguments(inference)).collect();
    probe::group(
        Container {
            command: Some(shell.to_vec()),
            args: Some(args),
            ..base
        },
        &leader(inference),
        inference.engine_port(),
        timeout,
    )
}

fn leader(inference: &Inference<'_>) -> String {
    names::leader_host(inference.workspace.name(), inference.workspace.namespace())
}

fn environment(inference: &Inference<'_>) -> Vec<EnvVar> {
    let mut extra = inference.profile.vllm_env.clone();
    extra
        .entry("VLLM_USE_FLASHINFER_SAMPLER".to_owned())
        .or_insert_with(|| "0".to_owned());
    let mut env = pod::home_env();
    env.extend(extra.iter().map(|(name, value)| pod::env(name, value)));
    let hub = &inference.platform.downloads.hub;
    if *hub != Downloads::default().hub {
        env.push(pod::env("HF_ENDPOINT", hub));
    }
    if inference.spans_nodes() {
        env.push(pod::env("LEADER", &leader(inference)));
        env.push(pod::env("NODES", &inference.placement.nodes.to_string()));
        env.push(of_pod(
            "POD_INDEX",
            &format!("metadata.labels['{}']", labels::POD_INDEX),
        ));
        let seconds = inference.profile.readiness_timeout_seconds;
        env.push(pod::env("START_SECONDS", &seconds.to_string()));
        env.push(of_pod("VLLM_HOST_IP", "status.podIP"));
    }
    env
}

/// Variable with a field of the pod.
fn of_pod(name: &str, field: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector {
        field_path: field.to_owned(),
        ..ObjectFieldSelector::default()
    };
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(field_ref),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// Arguments in name order: `--name=value`, or `--name` without a value.
fn arguments(inference: &Inference<'_>) -> Vec<String> {
    let argument = |(name, value): (String, String)| {
        if value.is_empty() {
            format!("--{name}")
        } else {
            format!("--{name}={}", pod::escape(&value))
        }
    };
    flags(inference).into_iter().map(argument).collect()
}

/// Flags of every model, overridden by the preset's, then by those of this Workspace and its nodes, then by the user's. The
/// user's were checked: none of them contradicts what was decided about the Workspace.
fn flags(inference: &Inference<'_>) -> BTreeMap<String, String> {
    let preset = inference.preset;
    let memory = if inference.hardware.gpu_model == "NVIDIA A10" {
        GPU_MEMORY_A10
    } else {
        GPU_MEMORY
    };
    let base = [
        ("compilation-config.pass_config.fuse_allreduce_rms", "False"),
        ("gpu-memory-utilization", memory),
        ("max-model-len", "auto"),
        ("model", weights::directory(inference)),
        ("served-model-name", &preset.name),
    ];
    let mut flags: BTreeMap<String, String> =
        base.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    flags.extend(inference.profile.vllm_flags.clone());
    flags.extend(chosen(inference));
    flags.extend(parallel(inference));
    override_by(&mut flags, &inference.user_flags);
    pin_code(&mut flags, preset.revision.as_deref());
    // The cache in host memory supports only one engine process on one node.
    if has_several_processes(inference) {
        flags.insert(CPU_CACHE.to_owned(), "0".to_owned());
    }
    if inference.has_front() {
        flags.insert("port".to_owned(), inference.engine_port().to_string());
        if !inference.spans_nodes() {
            // Only the front reaches the engine. The pods of a group ask each other for their health.
            flags.insert("host".to_owned(), "127.0.0.1".to_owned());
        }
    }
    flags
}

fn chosen(inference: &Inference<'_>) -> BTreeMap<String, String> {
    let flag = |wanted: bool, name: &'static str| wanted.then(|| (name, String::new()));
    let valued = |value: Option<String>, name: &'static str| value.map(|value| (name, value));
    [
        flag(inference.profile.trust_remote_code, "trust-remote-code"),
        flag(!inference.adapters.is_empty(), "enable-lora"),
        // Older GPUs cannot compute in bfloat16, in which most models are published.
        valued(
            (!inference.hardware.bfloat16).then(|| "float16".to_owned()),
            "dtype",
        ),
        valued(
            inference.max_context.map(|tokens| tokens.to_string()),
            "max-model-len",
        ),
    ]
    .into_iter()
    .flatten()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Fixes the commit of a model's own code. The weights are local, but their settings may name code of another repository,
/// which the engine would take from its default branch. That repository does not have our commit, so it is refused.
fn pin_code(flags: &mut BTreeMap<String, String>, commit: Option<&str>) {
    let Some(commit) = commit.filter(|_| flags.contains_key("trust-remote-code")) else {
        return;
    };
    for name in ["revision", "code-revision"] {
        flags.insert(name.to_owned(), commit.to_owned());
    }
}

/// Sets the user's flags. A bare flag replaces its other form, and a JSON value the parts of it that we set.
fn override_by(flags: &mut BTreeMap<String, String>, theirs: &BTreeMap<String, String>) {
    for (name, value) in theirs {
        let other = match name.strip_prefix("no-") {
            Some(positive) => positive.to_owned(),
            None => format!("no-{name}"),
        };
        let is_replaced = |ours: &String| {
            // Presets spell some flags with underscores.
            let spelled = ours.replace('_', "-");
            let is_part = ours
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.starts_with('.'));
            is_part || spelled == other || spelled == *name
        };
        flags.retain(|ours, _| theirs.contains_key(ours) || !is_replaced(ours));
        flags.insert(name.clone(), value.clone());
    }
}

fn has_several_processes(inference: &Inference<'_>) -> bool {
    inference.spans_nodes() || inference.placement.data_parallel > 1
}

/// Flags that divide the model over GPUs and nodes.
fn parallel(inference: &Inference<'_>) -> BTreeMap<String, String> {
    let placement = &inference.placement;
    let mut flags = BTreeMap::from([("tensor-parallel-size", placement.tensor_parallel.to_string())]);
    if placement.data_parallel > 1 {
        flags.insert("data-parallel-size", placement.data_parallel.to_string());
    }
    if placement.pipeline_parallel > 1 {
        flags.insert("pipeline-parallel-size", placement.pipeline_parallel.to_string());
    }
    if inference.spans_nodes() {
        flags.insert("distributed-executor-backend", "ray".to_owned());
    }
    flags
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

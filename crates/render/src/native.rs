//! Container of our inference server.
//!
//! | argument | meaning |
//! |---|---|
//! | `--weights-dir` | directory of the weights |
//! | `--served-model-name` | name of the model in requests |
//! | `--port` | port to listen on |
//! | `--max-context-tokens` | longest context; absent leaves it to the server |
//! | `--adapters-dir` | directory with one directory an adapter; absent without adapters |
//! | `--adapter-mode=request` | adapters are used by the requests that name them; absent merges them |
//! | `--api-key-file` | keys of clients; absent admits all |
//! | `--tls-cert-file`, `--tls-key-file` | certificate of the API; absent for plain text |
//! | `--cors-origin` | origin whose web pages may use the API; repeated |
//! | `--stall-seconds` | time without a token after which the engine counts as hung |
//! | `--adapter-strength=NAME=NUMBER` | merge strength of an adapter; repeated |
//! | `--dtype` | numbers of the weights, unless they are those of the files |
//! | the others | the section `native` of the user's `inference_config.yaml` |

use k8s_openapi::api::core::v1::Container;
use preset_catalog::estimate::HostFormat;

use crate::inference::Inference;
use crate::serving::AdapterMode;
use crate::{front, paths, pod, probe, server, weights};

/// Renders the container, without its mounts.
pub(crate) fn container(inference: &Inference<'_>) -> Container {
    let mut env = pod::home_env();
    env.push(pod::env("TMPDIR", paths::HOME));
    let base = server::container(inference, &inference.platform.images.inference_server, env);
    let container = Container {
        args: Some(arguments(inference)),
        ..base
    };
    let scheme = inference.serving.scheme();
    probe::http(
        container,
        inference.profile.readiness_timeout_seconds,
        scheme.as_deref(),
    )
}

fn arguments(inference: &Inference<'_>) -> Vec<String> {
    let preset = inference.preset;
    let mut args = vec![
        format!("--weights-dir={}", weights::directory(inference)),
        format!("--served-model-name={}", preset.name),
    ];
    args.push(format!("--port={}", paths::HTTP_PORT));
    args.extend(
        inference
            .max_context
            .map(|tokens| format!("--max-context-tokens={tokens}")),
    );
    if !inference.adapters.is_empty() {
        args.push(format!("--adapters-dir={}", paths::ADAPTERS));
    }
    if inference.serving.adapter_mode == AdapterMode::Request {
        args.push("--adapter-mode=request".to_owned());
    }
    args.extend(front::protection(inference));
    let weighted = inference
        .adapters
        .iter()
        .filter(|adapter| !adapter.strength.is_empty());
    args.extend(weighted.map(|adapter| format!("--adapter-strength={}={}", adapter.name, adapter.strength)));
    for (name, value) in &inference.user_flags {
        let flag = format!("--{name}=");
        // What the Workspace itself says comes first.
        if !args.iter().any(|arg| arg.starts_with(&flag)) {
            args.push(format!("{flag}{}", pod::escape(value)));
        }
    }
    let format = inference.host.map(|host| host.format);
    if let Some(format) = format.filter(|format| *format != HostFormat::Published)
        && !args.iter().any(|arg| arg.starts_with("--dtype="))
    {
        args.push(format!("--dtype={}", format.dtype()));
    }
    args
}

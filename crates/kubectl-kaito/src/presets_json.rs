//! Presets as JSON values, with the field names of the gRPC contract in camel case.

use preset_catalog::{AttentionKind, Preset};
use serde_json::{Map, Value, json};

/// Converts a preset; unknown values are omitted.
pub(crate) fn preset(preset: &Preset) -> Value {
    let shape = &preset.shape;
    let attention = shape.attention.map(|kind| match kind {
        AttentionKind::Mha => "MHA",
        AttentionKind::Gqa => "GQA",
        AttentionKind::Mqa => "MQA",
        AttentionKind::Mla => "MLA",
    });
    let hybrid = shape.hybrid_cache.map(|cache| {
        json!({
            "fullLayers": cache.full_layers, "windowLayers": cache.window_layers,
            "windowTokens": cache.window_tokens, "stateBytes": cache.state_bytes,
        })
    });
    let inference = preset.inference.as_ref().map(|profile| {
        json!({
            "runtimes": profile.runtimes.iter().map(|runtime| runtime.as_str()).collect::<Vec<_>>(),
            "diskGib": profile.disk_gib,
            "readinessTimeoutSeconds": profile.readiness_timeout_seconds,
            "cpu": profile.cpu,
            "distributed": profile.distributed,
            "trustRemoteCode": profile.trust_remote_code,
            "vllmFlags": profile.vllm_flags,
            "vllmEnv": profile.vllm_env,
        })
    });
    let tuning = preset.tuning.as_ref().map(|profile| {
        let methods: Vec<_> = profile.methods.iter().map(|method| method.as_str()).collect();
        let image = Some(&profile.weights_image).filter(|image| !image.is_empty());
        let files = Some(&profile.weights_files).filter(|files| !files.is_empty());
        known([
            ("methods", json!(methods)),
            ("diskGib", json!(profile.disk_gib)),
            ("weightsImage", json!(image)),
            ("weightsFiles", json!(files)),
        ])
    });
    known([
        ("name", json!(preset.name)),
        ("aliases", json!(preset.aliases)),
        ("hubId", json!(preset.hub_id)),
        ("revision", json!(preset.revision)),
        ("pinned", json!(preset.revision.is_some())),
        ("head", json!(preset.head)),
        ("license", json!(preset.license)),
        ("gated", json!(preset.gated)),
        ("deprecated", json!(preset.deprecated)),
        (
            "shape",
            known([
                ("architecture", json!(shape.architecture)),
                ("attention", json!(attention)),
                ("weightsBytes", json!(shape.weights_bytes)),
                ("activeWeightsBytes", json!(shape.active_weights_bytes)),
                ("maxContextTokens", json!(shape.max_context_tokens)),
                ("kvBytesPerToken", json!(shape.kv_bytes_per_token)),
                ("quantization", json!(shape.quantization)),
                ("layers", json!(shape.layers)),
                ("attentionHeads", json!(shape.attention_heads)),
                ("kvHeads", json!(shape.kv_heads)),
                ("hybridCache", json!(hybrid)),
            ]),
        ),
        ("inference", json!(inference)),
        ("tuning", json!(tuning)),
    ])
}

/// Builds an object from the fields that have a value.
pub(crate) fn known<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let known = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(
        known
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<_, _>>(),
    )
}

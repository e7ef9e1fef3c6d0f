//! Converts catalog types to messages. Every preset has a message.
//!
//! An absent value becomes an empty text or zero if the field has no presence.

use preset_catalog::{
    AttentionKind, HybridCache, InferenceProfile, ModelShape, Preset, Runtime, TuningMethod, TuningProfile,
};

use crate::v1;

impl From<&Preset> for v1::Preset {
    fn from(preset: &Preset) -> Self {
        Self {
            name: preset.name.clone(),
            aliases: preset.aliases.clone(),
            hub_id: preset.hub_id.clone(),
            revision: preset.revision.clone().unwrap_or_default(),
            head: preset.head.clone().unwrap_or_default(),
            license: preset.license.clone(),
            gated: preset.gated,
            deprecated: preset.deprecated.clone().unwrap_or_default(),
            shape: Some((&preset.shape).into()),
            inference: preset.inference.as_ref().map(Into::into),
            tuning: preset.tuning.as_ref().map(Into::into),
        }
    }
}

impl From<&ModelShape> for v1::ModelShape {
    fn from(shape: &ModelShape) -> Self {
        let attention = shape.attention.map_or(v1::AttentionKind::Unspecified, Into::into);
        Self {
            architecture: shape.architecture.clone(),
            weights_bytes: shape.weights_bytes,
            active_weights_bytes: shape.active_weights_bytes.unwrap_or_default(),
            max_context_tokens: shape.max_context_tokens,
            kv_bytes_per_token: shape.kv_bytes_per_token,
            quantization: shape.quantization.clone().unwrap_or_default(),
            attention: attention.into(),
            layers: shape.layers.unwrap_or_default(),
            attention_heads: shape.attention_heads.unwrap_or_default(),
            kv_heads: shape.kv_heads.unwrap_or_default(),
            hybrid_cache: shape.hybrid_cache.map(Into::into),
        }
    }
}

impl From<HybridCache> for v1::HybridCache {
    fn from(cache: HybridCache) -> Self {
        Self {
            full_layers: cache.full_layers,
            window_layers: cache.window_layers,
            window_tokens: cache.window_tokens,
            state_bytes: cache.state_bytes,
        }
    }
}

impl From<AttentionKind> for v1::AttentionKind {
    fn from(kind: AttentionKind) -> Self {
        match kind {
            AttentionKind::Mha => Self::Mha,
            AttentionKind::Gqa => Self::Gqa,
            AttentionKind::Mqa => Self::Mqa,
            AttentionKind::Mla => Self::Mla,
        }
    }
}

impl From<Runtime> for v1::Runtime {
    fn from(runtime: Runtime) -> Self {
        match runtime {
            Runtime::Vllm => Self::Vllm,
            Runtime::Native => Self::Native,
        }
    }
}

impl From<&InferenceProfile> for v1::InferenceProfile {
    fn from(profile: &InferenceProfile) -> Self {
        Self {
            runtimes: profile
                .runtimes
                .iter()
                .map(|runtime| v1::Runtime::from(*runtime).into())
                .collect(),
            disk_gib: profile.disk_gib,
            readiness_timeout_seconds: profile.readiness_timeout_seconds,
            cpu: profile.cpu,
            distributed: profile.distributed,
            trust_remote_code: profile.trust_remote_code,
            vllm_flags: profile.vllm_flags.clone(),
            vllm_env: profile.vllm_env.clone(),
            needs_cuda_toolkit: profile.needs_cuda_toolkit,
            min_compute_capability: profile
                .min_compute_capability
                .map(|capability| capability.to_string())
                .unwrap_or_default(),
        }
    }
}

impl From<&TuningProfile> for v1::TuningProfile {
    fn from(profile: &TuningProfile) -> Self {
        Self {
            methods: profile
                .methods
                .iter()
                .copied()
                .map(TuningMethod::as_str)
                .map(str::to_owned)
                .collect(),
            disk_gib: profile.disk_gib,
            weights_image: profile.weights_image.clone(),
            weights_files: profile.weights_files.clone(),
        }
    }
}

//! From the fields of a configuration to [`Spec`], for each family.

use kernels::Activation;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::rope::{self, Rope, RopeDefaults};
use super::spec::{LayerSpec, Spec};
use super::{family_name::Family, limits};
use crate::error::Result;

pub(super) fn spec(fields: Fields<'_>) -> Result<Spec> {
    let name = fields.text("model_type")?.unwrap_or_default();
    let family = Family::of(name).ok_or_else(|| {
        let known = Family::NAMES.join(", ");
        fields.error("model_type", format!("must be one of {known}, got `{name}`"))
    })?;
    let hidden = fields.needed_size("hidden_size", limits::HIDDEN)?;
    let heads = fields.needed_size("num_attention_heads", limits::HEADS)?;
    let kv_heads = fields
        .size("num_key_value_heads", limits::HEADS)?
        .unwrap_or(heads);
    let layer_count = fields.needed_size("num_hidden_layers", limits::LAYERS)?;
    if heads % kv_heads != 0 {
        return Err(fields.error(
            "num_key_value_heads",
            format!("must divide {heads} heads, got {kv_heads}"),
        ));
    }
    let head = match fields.size("head_dim", limits::HEAD_DIM)? {
        Some(head) => head,
        None if hidden % heads == 0 && hidden / heads <= limits::HEAD_DIM => hidden / heads,
        None => {
            return Err(fields.error(
                "num_attention_heads",
                format!("must divide {hidden}, got {heads}"),
            ));
        }
    };
    if head % 2 != 0 {
        return Err(fields.error("head_dim", format!("must be even, got {head}")));
    }
    let positions = fields
        .size("max_position_embeddings", limits::POSITIONS)?
        .unwrap_or(2048);
    let (ropes, layers) = layers(family, &fields, layer_count, head, positions)?;
    let number =
        |name: &str, default: f64| -> Result<f32> { Ok(fields.number(name)?.unwrap_or(default) as f32) };
    let granite = |name: &str, default: f64| -> Result<f32> {
        if family == Family::Granite {
            number(name, default)
        } else {
            Ok(default as f32)
        }
    };
    Ok(Spec {
        family,
        vocab_size: fields.needed_size("vocab_size", limits::VOCAB_SIZE)?,
        hidden_size: hidden,
        intermediate_size: fields.needed_size("intermediate_size", limits::INTERMEDIATE)?,
        num_heads: heads,
        num_kv_heads: kv_heads,
        head_dim: head,
        layers,
        ropes,
        max_position_embeddings: positions,
        activation: activation(family, &fields)?,
        rms_norm_eps: fields.positive("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        norm_offset: if family.is_gemma() { 1.0 } else { 0.0 },
        qk_norm: matches!(family, Family::Qwen3 | Family::Gemma3),
        qkv_bias: family == Family::Qwen2 || fields.flag("attention_bias", false)?,
        output_bias: family != Family::Qwen2 && fields.flag("attention_bias", false)?,
        mlp_bias: fields.flag("mlp_bias", false)?,
        fused_projections: family == Family::Phi3,
        sandwich_norms: matches!(family, Family::Gemma2 | Family::Gemma3),
        tie_word_embeddings: fields.flag("tie_word_embeddings", family.is_gemma())?,
        embedding_multiplier: if family.is_gemma() {
            (hidden as f32).sqrt()
        } else {
            granite("embedding_multiplier", 1.0)?
        },
        attention_scale: attention_scale(family, &fields, head)?,
        residual_multiplier: granite("residual_multiplier", 1.0)?,
        logit_scale: 1.0 / granite("logits_scaling", 1.0)?,
        attn_logit_softcapping: fields.positive("attn_logit_softcapping")?.map(|cap| cap as f32),
        final_logit_softcapping: fields.positive("final_logit_softcapping")?.map(|cap| cap as f32),
    })
}

fn activation(family: Family, fields: &Fields<'_>) -> Result<Activation> {
    // Early Gemma files have `gelu` and mean the approximation.
    if family.is_gemma() {
        return Ok(Activation::GeluTanh);
    }
    match fields.text("hidden_act")?.unwrap_or("silu") {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        other => Err(fields.error(
            "hidden_act",
            format!("must be silu or gelu_pytorch_tanh, got `{other}`"),
        )),
    }
}

fn attention_scale(family: Family, fields: &Fields<'_>, head: usize) -> Result<f32> {
    let by_width = 1.0 / (head as f64).sqrt();
    let scale = match family {
        Family::Granite => fields.positive("attention_multiplier")?,
        Family::Gemma2 | Family::Gemma3 => fields
            .positive("query_pre_attn_scalar")?
            .map(|scalar| 1.0 / scalar.sqrt()),
        _ => None,
    };
    Ok(scale.unwrap_or(by_width) as f32)
}

fn layers(
    family: Family,
    fields: &Fields<'_>,
    count: usize,
    head: usize,
    positions: usize,
) -> Result<(Vec<Rope>, Vec<LayerSpec>)> {
    let window = fields.size("sliding_window", limits::POSITIONS)?;
    let windowed = windowed(family, fields, count)?;
    let ropes = ropes(family, fields, head, positions)?;
    let layer = |windowed: &bool| LayerSpec {
        sliding_window: window.filter(|_| *windowed),
        // With two ropes, the second one is for layers with a window.
        rope: usize::from(*windowed && ropes.len() > 1),
    };
    let layers = windowed.iter().map(layer).collect();
    Ok((ropes, layers))
}

/// Returns for each layer whether it has a sliding window.
fn windowed(family: Family, fields: &Fields<'_>, count: usize) -> Result<Vec<bool>> {
    if let Some(types) = fields.get("layer_types").and_then(Value::as_array) {
        if types.len() != count {
            return Err(fields.error(
                "layer_types",
                format!(
                    "must have {count} entries, one for each layer, got {}",
                    types.len()
                ),
            ));
        }
        let one = |value: &Value| match value.as_str() {
            Some("sliding_attention") => Some(true),
            Some("full_attention") => Some(false),
            _ => None,
        };
        let all: Option<Vec<bool>> = types.iter().map(one).collect();
        return all.ok_or_else(|| {
            fields.error(
                "layer_types",
                "must hold sliding_attention and full_attention only",
            )
        });
    }
    let every = match fields.size("sliding_window_pattern", limits::LAYERS)? {
        Some(every) => Some(every),
        None => family.full_attention_interval(),
    };
    let from = fields.number("max_window_layers")?.unwrap_or(0.0);
    let uses_window = fields.flag("use_sliding_window", false)?;
    Ok((0..count)
        .map(|layer| match (family, every) {
            (Family::Gemma2 | Family::Gemma3, Some(every)) => (layer + 1) % every != 0,
            (Family::Qwen2 | Family::Qwen3, _) => uses_window && layer as f64 >= from,
            (Family::Mistral | Family::Phi3, _) => true,
            _ => false,
        })
        .collect())
}

fn ropes(family: Family, fields: &Fields<'_>, head: usize, positions: usize) -> Result<Vec<Rope>> {
    let base = fields.positive("rope_theta")?.unwrap_or(10_000.0);
    let defaults = RopeDefaults {
        head_dim: head,
        rope_theta: if family == Family::Gemma3 && fields.get("rope_theta").is_none() {
            1_000_000.0
        } else {
            base
        },
        partial_rotary_factor: partial(fields)?.unwrap_or(1.0),
        max_position_embeddings: positions,
        original: fields.size("original_max_position_embeddings", limits::POSITIONS)?,
    };
    if let Some(parameters) = fields.object("rope_parameters")? {
        // A model with two kinds of layers has one object for each.
        let kinds = ["full_attention", "sliding_attention"]
            .map(|kind| parameters.get(kind).and_then(Value::as_object));
        return match kinds {
            [Some(full), Some(sliding)] => Ok(vec![
                from_rope_parameters(defaults, full)?,
                from_rope_parameters(defaults, sliding)?,
            ]),
            [Some(only), None] | [None, Some(only)] => Ok(vec![from_rope_parameters(defaults, only)?]),
            [None, None] => Ok(vec![from_rope_parameters(defaults, parameters)?]),
        };
    }
    let scaling = fields.object("rope_scaling")?.map(|map| Fields {
        map,
        prefix: "rope_scaling.",
    });
    let mut ropes = vec![rope::rope(defaults, scaling)?];
    if family == Family::Gemma3 {
        let rope_theta = fields.positive("rope_local_base_freq")?.unwrap_or(10_000.0);
        ropes.push(rope::rope(
            RopeDefaults {
                rope_theta,
                ..defaults
            },
            None,
        )?);
    }
    Ok(ropes)
}

/// Reads the object of transformers 5, which holds all parameters of a rope.
fn from_rope_parameters(defaults: RopeDefaults, parameters: &Map<String, Value>) -> Result<Rope> {
    let fields = Fields {
        map: parameters,
        prefix: "rope_parameters.",
    };
    let defaults = RopeDefaults {
        rope_theta: fields.positive("rope_theta")?.unwrap_or(defaults.rope_theta),
        partial_rotary_factor: partial(&fields)?.unwrap_or(defaults.partial_rotary_factor),
        ..defaults
    };
    rope::rope(defaults, Some(fields))
}

fn partial(fields: &Fields<'_>) -> Result<Option<f64>> {
    match fields.positive("partial_rotary_factor")? {
        Some(share) if share > 1.0 => {
            Err(fields.error("partial_rotary_factor", format!("must be at most 1, got {share}")))
        }
        share => Ok(share),
    }
}

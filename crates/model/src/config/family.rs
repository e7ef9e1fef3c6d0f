//! What the name of a family means for the forward pass.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::rope::{self, Rope, RopeDefaults};
use super::{Activation, LayerSpec, Spec, limit};
use crate::error::Result;

/// Supported families, by `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3, SmolLM 1 and 2, and everything of their shape.
    Llama,
    /// Mistral 7B and successors.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Phi-3, Phi-3.5 and Phi-4.
    Phi3,
    /// Gemma.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text.
    Gemma3,
    /// Granite 3, dense.
    Granite,
}

impl Family {
    /// Names of all families, as `model_type` spells them.
    pub const NAMES: [&'static str; 9] = [
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "phi3",
        "gemma",
        "gemma2",
        "gemma3_text",
        "granite",
    ];

    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "llama" | "smollm" => Self::Llama,
            "mistral" => Self::Mistral,
            "qwen2" => Self::Qwen2,
            "qwen3" => Self::Qwen3,
            "phi3" => Self::Phi3,
            "gemma" => Self::Gemma,
            "gemma2" => Self::Gemma2,
            "gemma3_text" | "gemma3" => Self::Gemma3,
            "granite" => Self::Granite,
            _ => return None,
        })
    }

    fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }

    /// Every how many layers one sees everything, when windows alternate and nothing else is said.
    fn full_every(self) -> Option<usize> {
        match self {
            Self::Gemma2 => Some(2),
            Self::Gemma3 => Some(6),
            _ => None,
        }
    }
}

pub(super) fn spec(fields: Fields<'_>) -> Result<Spec> {
    let name = fields.text("model_type")?.unwrap_or_default();
    let family = Family::of(name).ok_or_else(|| {
        let known = Family::NAMES.join(", ");
        fields.error(
            "model_type",
            format!("is `{name}`, which is not supported; supported are {known}"),
        )
    })?;
    let hidden = fields.needed_size("hidden_size", limit::HIDDEN)?;
    let heads = fields.needed_size("num_attention_heads", limit::HEADS)?;
    let kv_heads = fields.size("num_key_value_heads", limit::HEADS)?.unwrap_or(heads);
    let layer_count = fields.needed_size("num_hidden_layers", limit::LAYERS)?;
    if heads % kv_heads != 0 {
        return Err(fields.error(
            "num_key_value_heads",
            format!("is {kv_heads}, which does not divide {heads} heads"),
        ));
    }
    let head = match fields.size("head_dim", limit::HEAD)? {
        Some(head) => head,
        None if hidden % heads == 0 && hidden / heads <= limit::HEAD => hidden / heads,
        None => {
            return Err(fields.error(
                "num_attention_heads",
                format!("is {heads}, which does not divide {hidden}"),
            ));
        }
    };
    if head % 2 != 0 {
        return Err(fields.error("head_dim", format!("is {head}, an even number is needed")));
    }
    let positions = fields
        .size("max_position_embeddings", limit::POSITIONS)?
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
        vocab_size: fields.needed_size("vocab_size", limit::VOCABULARY)?,
        hidden_size: hidden,
        intermediate_size: fields.needed_size("intermediate_size", limit::INTERMEDIATE)?,
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
    // Early Gemma files say `gelu` and mean the approximation.
    if family.is_gemma() {
        return Ok(Activation::GeluTanh);
    }
    match fields.text("hidden_act")?.unwrap_or("silu") {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        other => Err(fields.error("hidden_act", format!("is `{other}`, which is not supported"))),
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
    let window = fields.size("sliding_window", limit::POSITIONS)?;
    let windowed = windowed(family, fields, count)?;
    let ropes = ropes(family, fields, head, positions)?;
    let layer = |windowed: &bool| LayerSpec {
        sliding_window: window.filter(|_| *windowed),
        // Where there are two, the second is that of layers with a window.
        rope: usize::from(*windowed && ropes.len() > 1),
    };
    let layers = windowed.iter().map(layer).collect();
    Ok((ropes, layers))
}

/// Which layers see a window only.
fn windowed(family: Family, fields: &Fields<'_>, count: usize) -> Result<Vec<bool>> {
    if let Some(types) = fields.get("layer_types").and_then(Value::as_array) {
        if types.len() != count {
            return Err(fields.error(
                "layer_types",
                format!("has {} entries for {count} layers", types.len()),
            ));
        }
        let one = |value: &Value| match value.as_str() {
            Some("sliding_attention") => Some(true),
            Some("full_attention") => Some(false),
            _ => None,
        };
        let all: Option<Vec<bool>> = types.iter().map(one).collect();
        return all.ok_or_else(|| fields.error("layer_types", "holds a kind of layer that is not supported"));
    }
    let every = match fields.size("sliding_window_pattern", limit::LAYERS)? {
        Some(every) => Some(every),
        None => family.full_every(),
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
        original: fields.size("original_max_position_embeddings", limit::POSITIONS)?,
    };
    if let Some(parameters) = fields.object("rope_parameters")? {
        // A model with two kinds of layers has one object for each.
        let kinds = ["full_attention", "sliding_attention"]
            .map(|kind| parameters.get(kind).and_then(Value::as_object));
        return match kinds {
            [Some(full), Some(sliding)] => {
                Ok(vec![normalised(defaults, full)?, normalised(defaults, sliding)?])
            }
            [Some(only), None] | [None, Some(only)] => Ok(vec![normalised(defaults, only)?]),
            [None, None] => Ok(vec![normalised(defaults, parameters)?]),
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

/// transformers 5 keeps everything about angles in one object.
fn normalised(defaults: RopeDefaults, parameters: &Map<String, Value>) -> Result<Rope> {
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
            Err(fields.error("partial_rotary_factor", format!("is {share}, which is above 1")))
        }
        share => Ok(share),
    }
}

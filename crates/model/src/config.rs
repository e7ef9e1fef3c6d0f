//! `config.json` of every supported family → one description, [`Spec`].
//!
//! All differences between families that the forward pass knows are fields of [`Spec`]; what a family means for them is
//! decided here and in `family` only. Configurations of transformers 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`) are read alike.

mod family;
mod fields;
mod generation;
mod rope;

use std::path::Path;

use serde_json::{Map, Value};

pub use family::Family;
pub use generation::GenerationConfig;
pub use kernels::Activation;
pub use rope::Rope;

use crate::error::{Error, Result};
use crate::read;
use fields::Fields;

/// Largest `config.json`, in bytes.
const CONFIG_BYTES: u64 = 4 << 20;

/// Bounds on sizes: several times what any published model has, small enough that no product of two overflows.
mod limit {
    pub(super) const HIDDEN: usize = 1 << 16;
    pub(super) const INTERMEDIATE: usize = 1 << 20;
    pub(super) const LAYERS: usize = 1 << 10;
    pub(super) const HEADS: usize = 1 << 10;
    pub(super) const HEAD: usize = 1 << 10;
    pub(super) const VOCABULARY: usize = 1 << 22;
    pub(super) const POSITIONS: usize = 1 << 24;
}

/// What differs from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// How many positions back it sees, itself included; all when absent.
    pub sliding_window: Option<usize>,
    /// Index into [`Spec::ropes`].
    pub rope: usize,
}

/// A decoder-only transformer as data. Sizes are numbers of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The family, for messages.
    pub family: Family,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward network.
    pub intermediate_size: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; divides `num_heads`.
    pub num_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The layers.
    pub layers: Vec<LayerSpec>,
    /// Angles, shared by layers.
    pub ropes: Vec<Rope>,
    /// Most positions of a sequence.
    pub max_position_embeddings: usize,
    /// Non-linearity.
    pub activation: Activation,
    /// Added to the mean square in a norm.
    pub rms_norm_eps: f32,
    /// Added to the weight of a norm: Gemma stores its distance from one.
    pub norm_offset: f32,
    /// Queries and keys are normalised a head.
    pub qk_norm: bool,
    /// Query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// The output projection of attention has a bias.
    pub output_bias: bool,
    /// The feed-forward projections have a bias.
    pub mlp_bias: bool,
    /// Query, key and value are stored as one tensor, and so are gate and up.
    pub fused_projections: bool,
    /// Norms after attention and feed-forward too, as Gemma 2 has them.
    pub sandwich_norms: bool,
    /// Input and output embeddings are one tensor.
    pub tie_word_embeddings: bool,
    /// Factor on embeddings.
    pub embedding_multiplier: f32,
    /// Factor on attention scores.
    pub attention_scale: f32,
    /// Factor on what a block adds to the residual stream.
    pub residual_multiplier: f32,
    /// Factor on logits.
    pub logit_scale: f32,
    /// Attention scores are bent to ± this by tanh.
    pub attn_logit_softcapping: Option<f32>,
    /// Logits are bent to ± this by tanh.
    pub final_logit_softcapping: Option<f32>,
}

impl Spec {
    /// Reads `config.json` of a model's directory.
    ///
    /// # Errors
    /// When the file is missing or malformed, a field is out of bounds, or the family is not supported.
    pub fn open(dir: &Path) -> Result<Self> {
        let config: Map<String, Value> = read::json(&dir.join("config.json"), CONFIG_BYTES)?;
        Self::parse(&config)
    }

    /// Makes the description from the object in a `config.json`.
    ///
    /// # Errors
    /// When a field is missing or out of bounds, or the family is not supported.
    pub fn parse(config: &Map<String, Value>) -> Result<Self> {
        if config
            .get("quantization_config")
            .is_some_and(|value| !value.is_null())
        {
            return Err(Error::config(
                "quantization_config",
                "is set: quantised checkpoints are not supported, take the unquantised one and `--dtype q8`",
            ));
        }
        // Models that also see pictures keep the language model's fields apart.
        match config.get("text_config").and_then(Value::as_object) {
            Some(text) => family::spec(Fields {
                map: text,
                prefix: "text_config.",
            }),
            None => family::spec(Fields {
                map: config,
                prefix: "",
            }),
        }
    }

    /// Bytes of keys and values one position takes, in f32.
    #[must_use]
    pub fn kv_cache_bytes_per_token(&self) -> usize {
        2 * self.layers.len() * self.num_kv_heads * self.head_dim * size_of::<f32>()
    }

    /// Whether sequences planned for so many positions use the angles of long ones. Those that differ cannot share a cache.
    #[must_use]
    pub fn uses_long_rope(&self, capacity: usize) -> bool {
        self.ropes.iter().any(|rope| {
            rope.long_inv_freq
                .as_ref()
                .is_some_and(|(above, _)| capacity > *above)
        })
    }

    /// Number of weights in the matrices.
    #[must_use]
    pub fn num_parameters(&self) -> u64 {
        let attention = self.hidden_size * self.head_dim * 2 * (self.num_heads + self.num_kv_heads);
        let layer = attention as u64 + 3 * (self.hidden_size as u64) * self.intermediate_size as u64;
        let embeddings = (self.vocab_size as u64)
            * (self.hidden_size as u64)
            * if self.tie_word_embeddings { 1 } else { 2 };
        layer * self.layers.len() as u64 + embeddings
    }
}

//! The description of a model that the forward pass reads.

use kernels::Activation;

use super::family_name::Family;
use super::rope::Rope;

/// Description of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// Positions that a query sees, itself included; all when absent.
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
    /// Elements of a hidden state.
    pub hidden_size: usize,
    /// Elements inside the feed-forward network.
    pub intermediate_size: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; divides `num_heads`.
    pub num_kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// The layers.
    pub layers: Vec<LayerSpec>,
    /// Ropes, shared by layers.
    pub ropes: Vec<Rope>,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Non-linearity.
    pub activation: Activation,
    /// Added to the mean square in a norm.
    pub rms_norm_eps: f32,
    /// Added to the weight of a norm: Gemma stores its distance from one.
    pub norm_offset: f32,
    /// Norms of queries and keys, a head at a time.
    pub qk_norm: bool,
    /// Biases of query, key and value projections.
    pub qkv_bias: bool,
    /// Bias of the output projection of attention.
    pub output_bias: bool,
    /// Biases of the feed-forward projections.
    pub mlp_bias: bool,
    /// Query, key and value are stored as one tensor, and so are gate and up.
    pub fused_projections: bool,
    /// Norms after attention and feed-forward network too, as in Gemma 2.
    pub sandwich_norms: bool,
    /// Input and output embeddings are one tensor.
    pub tie_word_embeddings: bool,
    /// Factor on embeddings.
    pub embedding_multiplier: f32,
    /// Factor on attention scores.
    pub attention_scale: f32,
    /// Factor on the output of a block before it is added to the residual stream.
    pub residual_multiplier: f32,
    /// Factor on logits.
    pub logit_scale: f32,
    /// Bound on attention scores, by tanh.
    pub attn_logit_softcapping: Option<f32>,
    /// Bound on logits, by tanh.
    pub final_logit_softcapping: Option<f32>,
}

impl Spec {
    /// Reports whether sequences of this capacity use the frequencies of long ones. Sequences that differ in this cannot share a cache.
    #[must_use]
    pub fn uses_long_rope(&self, capacity: usize) -> bool {
        self.ropes.iter().any(|rope| {
            rope.long_inv_freq
                .as_ref()
                .is_some_and(|(above, _)| capacity > *above)
        })
    }

    /// Number of weights in all matrices.
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

//! Estimate of a run's memory before anything is loaded. Pure: sizes in, bytes out.

use model::Spec;

use crate::network::Precision;

/// Sizes that decide how much memory a run needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryNeeds<'a> {
    /// The model.
    pub spec: &'a Spec,
    /// Precision of linear modules.
    pub linear_precision: Precision,
    /// Precision of other weights.
    pub other_precision: Precision,
    /// Number of trainable parameters.
    pub trainable_params: usize,
    /// Most tokens of a batch.
    pub tokens: usize,
    /// Layers are computed again instead of kept.
    pub gradient_checkpointing: bool,
}

/// Bytes by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryEstimate {
    /// Frozen weights.
    pub weights: u64,
    /// Trainable parameters, their gradient and the optimizer's state.
    pub trainable: u64,
    /// Activations that the largest batch keeps for the backward pass.
    pub activations: u64,
    /// Peak of one layer or of the loss.
    pub working: u64,
}

impl MemoryEstimate {
    /// Sum of all parts.
    #[must_use]
    pub(crate) fn total(self) -> u64 {
        self.weights + self.trainable + self.activations + self.working
    }
}

impl MemoryNeeds<'_> {
    /// Estimates the run.
    #[must_use]
    pub(crate) fn estimate(self) -> MemoryEstimate {
        let Self {
            spec,
            linear_precision,
            other_precision,
            tokens,
            ..
        } = self;
        let embeddings =
            (spec.vocab_size * spec.hidden_size * if spec.tie_word_embeddings { 1 } else { 2 }) as u64;
        let matrices = spec.num_parameters().saturating_sub(embeddings);
        let bytes = |count: u64, precision: Precision| (count as f64 * precision.bytes()).ceil() as u64;
        // Short weights are widened a part at a time.
        let widened = if linear_precision == Precision::F32 && other_precision == Precision::F32 {
            0
        } else {
            4 << 20
        };
        let qkv = (spec.num_heads + 2 * spec.num_kv_heads) * spec.head_dim;
        let layer = tokens
            * (2 * qkv + spec.num_heads * spec.head_dim + 2 * spec.hidden_size + 2 * spec.intermediate_size)
            * 4;
        let inputs = tokens * spec.hidden_size * 4;
        let of_layer = if self.gradient_checkpointing {
            inputs
        } else {
            inputs + layer
        };
        // A backward pass has a layer's activations, their gradients and one copy of each product's input.
        let backward = 2 * layer + tokens * spec.intermediate_size * 2 * 4;
        let logits = (32_usize << 20)
            .min(tokens * spec.vocab_size * 4)
            .max(spec.vocab_size * 4)
            + 4 * inputs;
        MemoryEstimate {
            weights: bytes(matrices, linear_precision) + bytes(embeddings, other_precision) + widened,
            trainable: self.trainable_params as u64 * 16,
            activations: (spec.layers.len() * of_layer) as u64,
            working: backward.max(logits) as u64 + (64 << 20),
        }
    }
}

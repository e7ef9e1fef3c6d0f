//! How much memory a run will take, before anything is loaded. Pure: sizes in, bytes out.

use model::Spec;

use crate::network::Precision;

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Frozen weights.
    pub weights: u64,
    /// Trained values, their derivatives and the optimiser's means.
    pub trained: u64,
    /// What the largest batch keeps between forward and backward.
    pub kept: u64,
    /// What one layer, or the loss, needs at once.
    pub working: u64,
}

impl Estimate {
    /// All of it.
    #[must_use]
    pub fn total(self) -> u64 {
        self.weights + self.trained + self.kept + self.working
    }
}

/// Estimates a run with `trained` values and batches of at most `tokens`.
#[must_use]
pub fn estimate(
    spec: &Spec,
    linear: Precision,
    rest: Precision,
    trained: usize,
    tokens: usize,
    checkpointing: bool,
) -> Estimate {
    let embeddings =
        (spec.vocab_size * spec.hidden_size * if spec.tie_word_embeddings { 1 } else { 2 }) as u64;
    let matrices = spec.num_parameters().saturating_sub(embeddings);
    let bytes = |count: u64, precision: Precision| (count as f64 * precision.bytes()).ceil() as u64;
    // Short weights are widened a part at a time.
    let widened = if linear == Precision::F32 && rest == Precision::F32 {
        0
    } else {
        4 << 20
    };
    let qkv = (spec.num_heads + 2 * spec.num_kv_heads) * spec.head_dim;
    let layer = tokens
        * (2 * qkv + spec.num_heads * spec.head_dim + 2 * spec.hidden_size + 2 * spec.intermediate_size)
        * 4;
    let inputs = tokens * spec.hidden_size * 4;
    let kept = spec.layers.len() * if checkpointing { inputs } else { inputs + layer };
    // A backward pass has a layer's values, their derivatives and one copy of each product's input.
    let backward = 2 * layer + tokens * spec.intermediate_size * 2 * 4;
    let logits = (32_usize << 20)
        .min(tokens * spec.vocab_size * 4)
        .max(spec.vocab_size * 4)
        + 4 * inputs;
    Estimate {
        weights: bytes(matrices, linear) + bytes(embeddings, rest) + widened,
        trained: trained as u64 * 16,
        kept: kept as u64,
        working: backward.max(logits) as u64 + (64 << 20),
    }
}

//! Trained modules and the places of their parameters.

/// A trained module.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Name in the model, without `.weight`.
    pub name: String,
    /// Width of its inputs.
    pub in_features: usize,
    /// Width of its outputs.
    pub out_features: usize,
    /// Rank of its LoRA matrices.
    pub rank: usize,
    /// Factor on their product.
    pub scaling: f32,
    /// Place of `A`, `[rank, in_features]`, in the trainable parameters.
    pub lora_a: usize,
    /// Place of `B`, `[out_features, rank]`.
    pub lora_b: usize,
}

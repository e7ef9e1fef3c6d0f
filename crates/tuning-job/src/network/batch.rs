//! Tokens of one pass, and the state of that pass.

use model::Spec;
use model::config::Rope;

/// Sequences that are computed together, one after the other and without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// All tokens.
    pub tokens: Vec<u32>,
    /// The next token of each token, if it counts in the loss.
    pub labels: Vec<Option<u32>>,
    /// Numbers of tokens of the sequences.
    pub seq_lengths: Vec<usize>,
}

impl Batch {
    /// Number of tokens that count in the loss.
    #[must_use]
    pub fn num_labels(&self) -> usize {
        self.labels.iter().flatten().count()
    }
}

/// Options of a training pass.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Seed of dropout: a repeated pass drops the same inputs. Without a seed nothing is dropped.
    pub dropout_seed: Option<[u64; 2]>,
    /// Computes layers again for their gradients instead of keeping activations.
    pub gradient_checkpointing: bool,
}

/// The trainable parameters in one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) params: &'a [f32],
    pub(crate) dropout_seed: Option<[u64; 2]>,
}

/// Sequence lengths and rope tables of a batch, shared by all layers.
#[derive(Debug)]
pub(crate) struct BatchContext {
    pub(crate) seq_lengths: Vec<usize>,
    /// For each kind of rope, cosines and sines of each token.
    pub(crate) rope_tables: Vec<(Vec<f32>, Vec<f32>)>,
}

impl BatchContext {
    pub(crate) fn new(spec: &Spec, batch: &Batch) -> Self {
        let table = |rope: &Rope| {
            let angles = batch.seq_lengths.iter().flat_map(|length| {
                let inv_freq = rope.inv_freq_for(*length);
                (0..*length).flat_map(move |position| inv_freq.iter().map(move |f| position as f32 * f))
            });
            angles
                .map(|angle| {
                    (
                        angle.cos() * rope.attention_factor,
                        angle.sin() * rope.attention_factor,
                    )
                })
                .unzip()
        };
        Self {
            seq_lengths: batch.seq_lengths.clone(),
            rope_tables: spec.ropes.iter().map(table).collect(),
        }
    }

    pub(crate) fn tokens(&self) -> usize {
        self.seq_lengths.iter().sum()
    }
}

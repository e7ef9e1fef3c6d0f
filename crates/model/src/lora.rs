//! Adapters beside the weights: each sequence of a step may have another one, or none.
//!
//! The rows of a sequence with an adapter become `y = W x + strength · scaling · B (A x)`, others `y = W x`. Rows with the same
//! adapter are multiplied together, whatever their sequences. LoRA matrices are 32-bit floats.

use std::ops::Range;

use crate::linear::{Linear, Precision};

/// An adapter, prepared for a decoder by [`Decoder::prepare_lora`](crate::Decoder::prepare_lora).
#[derive(Debug)]
pub struct Lora {
    pub(crate) name: String,
    pub(crate) layers: Vec<Deltas>,
    pub(crate) lm_head: Vec<Delta>,
}

/// The changes to the linear modules of one block.
#[derive(Debug)]
pub(crate) struct Deltas {
    pub(crate) qkv_proj: Vec<Delta>,
    pub(crate) o_proj: Vec<Delta>,
    pub(crate) gate_up_proj: Vec<Delta>,
    pub(crate) down_proj: Vec<Delta>,
}

/// The change to some outputs of a linear module.
#[derive(Debug)]
pub(crate) struct Delta {
    /// The first of the outputs.
    first: usize,
    lora_a: Linear,
    lora_b: Linear,
}

impl Lora {
    /// Name of the adapter.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the LoRA matrices in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(|layer| {
            let maps = [
                &layer.qkv_proj,
                &layer.o_proj,
                &layer.gate_up_proj,
                &layer.down_proj,
            ];
            maps.into_iter().flatten()
        });
        layers
            .chain(&self.lm_head)
            .map(|delta| delta.lora_a.bytes() + delta.lora_b.bytes())
            .sum()
    }
}

impl Delta {
    /// `lora_a` is `[rank, inputs]` and `lora_b` `[outputs, rank]`.
    pub(crate) fn new(first: usize, rank: usize, lora_a: &[f32], lora_b: &[f32]) -> Self {
        let matrix = |values: &[f32], inputs: usize| {
            let mut rows = Precision::F32.zeros(true, values.len() / inputs, inputs);
            rows.write(0, values);
            Linear::new(rows, None)
        };
        Self {
            first,
            lora_a: matrix(lora_a, lora_a.len() / rank),
            lora_b: matrix(lora_b, rank),
        }
    }
}

/// Rows of a step's activations by adapter.
#[derive(Debug, Default)]
pub(crate) struct Routes<'a> {
    routes: Vec<(&'a Lora, Vec<Range<usize>>)>,
}

impl<'a> Routes<'a> {
    /// Routes of sequences that follow each other, each with its number of rows and its adapter.
    pub(crate) fn new(sequences: impl IntoIterator<Item = (usize, Option<&'a Lora>)>) -> Self {
        let mut routes: Vec<(&Lora, Vec<Range<usize>>)> = Vec::new();
        let mut first = 0;
        for (rows, adapter) in sequences {
            let range = first..first + rows;
            first += rows;
            let Some(adapter) = adapter.filter(|_| rows > 0) else {
                continue;
            };
            match routes.iter_mut().find(|(known, _)| std::ptr::eq(*known, adapter)) {
                Some((_, ranges)) => ranges.push(range),
                None => routes.push((adapter, vec![range])),
            }
        }
        Self { routes }
    }

    /// Adds the changes of adapters to `out`, the outputs of a module for the activations `x`.
    ///
    /// `of` selects the changes to that module, `rows` is the number of rows in `x`.
    pub(crate) fn add(&self, of: impl Fn(&'a Lora) -> &'a [Delta], rows: usize, x: &[f32], out: &mut [f32]) {
        for (adapter, ranges) in &self.routes {
            let deltas = of(adapter);
            if deltas.is_empty() {
                continue;
            }
            let (inputs, outputs) = (x.len() / rows, out.len() / rows);
            let own: Vec<f32> = ranges
                .iter()
                .flat_map(|range| &x[range.start * inputs..range.end * inputs])
                .copied()
                .collect();
            for delta in deltas {
                let change = delta.lora_b.apply(&delta.lora_a.apply(&own));
                let width = delta.lora_b.outputs();
                let changed = ranges.iter().cloned().flatten();
                for (row, change) in changed.zip(change.chunks_exact(width)) {
                    let out = &mut out[row * outputs + delta.first..][..width];
                    out.iter_mut()
                        .zip(change)
                        .for_each(|(out, change)| *out += change);
                }
            }
        }
    }
}

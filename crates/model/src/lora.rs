//! Adapters that stay beside the weights, so that each sequence of a step may have another one, or none:
//! `y = W x + strength · scale · B (A x)` for the rows of those sequences, and `y = W x` for all others.
//!
//! The rows of one adapter go through its factors together, whichever sequences they are of. Factors are 32-bit floats.

use std::ops::Range;

use crate::linear::{Linear, Precision};

/// An adapter, fitted to a decoder by [`Decoder::prepare_lora`](crate::Decoder::prepare_lora).
#[derive(Debug)]
pub struct Lora {
    pub(crate) name: String,
    pub(crate) layers: Vec<Deltas>,
    pub(crate) head: Vec<Delta>,
}

/// The changes to the maps of one block.
#[derive(Debug)]
pub(crate) struct Deltas {
    pub(crate) qkv: Vec<Delta>,
    pub(crate) output: Vec<Delta>,
    pub(crate) gate_up: Vec<Delta>,
    pub(crate) down: Vec<Delta>,
}

/// The change to some outputs of a map.
#[derive(Debug)]
pub(crate) struct Delta {
    /// The first of the outputs.
    first: usize,
    a: Linear,
    b: Linear,
}

impl Lora {
    /// Name of the adapter.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the factors in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(|layer| {
            let maps = [&layer.qkv, &layer.output, &layer.gate_up, &layer.down];
            maps.into_iter().flatten()
        });
        layers
            .chain(&self.head)
            .map(|delta| delta.a.bytes() + delta.b.bytes())
            .sum()
    }
}

impl Delta {
    /// `a` is `[rank, inputs]` and `b` `[outputs, rank]`.
    pub(crate) fn new(first: usize, rank: usize, a: &[f32], b: &[f32]) -> Self {
        let matrix = |values: &[f32], inputs: usize| {
            let mut rows = Precision::F32.zeros(true, values.len() / inputs, inputs);
            rows.write(0, values);
            Linear::new(rows, None)
        };
        Self {
            first,
            a: matrix(a, a.len() / rank),
            b: matrix(b, rank),
        }
    }
}

/// Which rows of a step's activations go through which adapter.
#[derive(Debug, Default)]
pub(crate) struct Routes<'a> {
    routes: Vec<(&'a Lora, Vec<Range<usize>>)>,
}

impl<'a> Routes<'a> {
    /// For sequences one after the other, each with its number of rows and its adapter.
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

    /// Adds what adapters change to `out`, the outputs of a map for the activations `x`.
    ///
    /// `of` picks the changes to that map, `rows` is the number of rows in `x`.
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
                let change = delta.b.apply(&delta.a.apply(&own));
                let width = delta.b.outputs();
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

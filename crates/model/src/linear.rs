//! Linear maps: how their weights are stored, and how a product is spread over threads.

use rayon::prelude::*;

use crate::kernels::{self, CopyRow, Encoded, Product, Rows, product};

/// How weights are kept in memory. Activations and sums are 32-bit floats in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Without loss: bfloat16 where the file has it, else 32 bits.
    Stored,
    /// 32-bit floats: exact.
    F32,
    /// Upper half of 32-bit floats: exact for files in bfloat16.
    Bf16,
    /// 8-bit whole numbers with a scale for each 32: about 0.5 % error of a weight.
    Q8,
}

/// Tokens a thread at least needs for a share of tokens to pay: below, threads share the rows.
const TOKENS_PER_THREAD: usize = 16;
/// Tokens that are carried past all rows at a time, so that they stay in the cache near the core.
const TOKEN_BLOCK: usize = 96;
/// Rows of one piece of work when threads share rows: enough that taking a piece costs nothing beside it.
const ROW_PIECE: usize = 64;
/// Elements of a line of the cache.
const LINE: usize = 16;
/// Rows that are widened at a time.
const TILE_ROWS: usize = 4;

/// `y = W x (+ b)`.
#[derive(Debug)]
pub(crate) struct Linear {
    weights: Encoded,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    pub(crate) fn new(weights: Encoded, bias: Option<Vec<f32>>, inputs: usize, outputs: usize) -> Self {
        Self {
            weights,
            bias,
            inputs,
            outputs,
        }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn bytes(&self) -> usize {
        self.weights.bytes() + self.bias.as_ref().map_or(0, |bias| bias.len() * 4)
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            data: &self.weights,
            columns: self.inputs,
        }
    }

    /// Row `row` as 32-bit floats into `out`: an embedding.
    pub(crate) fn copy_row(&self, row: usize, out: &mut [f32]) {
        let mut buffer = vec![0.0; self.rows().buffer()];
        kernels::arch().dispatch(CopyRow {
            rows: self.rows(),
            row,
            buffer: &mut buffer,
            out,
        });
    }

    /// Applies the map to tokens one after the other.
    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let tokens = x.len() / self.inputs;
        let mut out = vec![0.0; tokens * self.outputs];
        if tokens == 0 {
            return out;
        }
        let mut space = vec![0.0; x.len() + LINE];
        let own = aligned(&mut space, x.len());
        own.copy_from_slice(x);
        let x = &*own;
        let threads = rayon::current_num_threads();
        if tokens >= threads * TOKENS_PER_THREAD {
            let share = tokens.div_ceil(threads).min(TOKEN_BLOCK);
            let shares = x
                .par_chunks(share * self.inputs)
                .zip(out.par_chunks_mut(share * self.outputs));
            shares.for_each(|(x, out)| self.part(0, self.outputs, x, out, (self.outputs, 1)));
        } else if tokens == 1 {
            let pieces = out.par_chunks_mut(ROW_PIECE).enumerate();
            pieces.for_each(|(piece, out)| self.part(piece * ROW_PIECE, out.len(), x, out, (out.len(), 1)));
        } else {
            let mut by_row = vec![0.0; out.len()];
            let pieces = by_row.par_chunks_mut(ROW_PIECE * tokens).enumerate();
            pieces.for_each(|(piece, out)| {
                self.part(piece * ROW_PIECE, out.len() / tokens, x, out, (1, tokens))
            });
            transpose(&by_row, tokens, &mut out);
        }
        out
    }

    fn part(&self, first: usize, count: usize, x: &[f32], out: &mut [f32], strides: (usize, usize)) {
        let size = TILE_ROWS * self.rows().buffer();
        let mut space = vec![0.0; size + LINE];
        product(Product {
            rows: self.rows(),
            first,
            count,
            x,
            bias: self.bias.as_deref(),
            out,
            token_stride: strides.0,
            row_stride: strides.1,
            buffer: aligned(&mut space, size),
        });
    }
}

/// `length` elements of `space` that begin with a line of the cache. A vector that straddles two lines takes two loads, and
/// what the allocator gives out begins 16 bytes into a line.
fn aligned(space: &mut [f32], length: usize) -> &mut [f32] {
    let offset = space.as_ptr().align_offset(LINE * size_of::<f32>());
    let offset = offset.min(space.len() - length);
    &mut space[offset..][..length]
}

/// From a row after the other to a token after the other.
fn transpose(by_row: &[f32], tokens: usize, out: &mut [f32]) {
    let outputs = by_row.len() / tokens;
    for (row, values) in by_row.chunks_exact(tokens).enumerate() {
        for (token, value) in values.iter().enumerate() {
            out[token * outputs + row] = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| random.f32() - 0.5).collect()
    }

    fn linear(mut weights: Encoded, inputs: usize, outputs: usize) -> Linear {
        weights.push_rows(&numbers(inputs * outputs, 1), inputs);
        Linear::new(weights, Some(numbers(outputs, 2)), inputs, outputs)
    }

    fn naive(inputs: usize, outputs: usize, x: &[f32]) -> Vec<f32> {
        let (weights, bias) = (numbers(inputs * outputs, 1), numbers(outputs, 2));
        let row = |x: &[f32], row: usize| -> f32 {
            weights[row * inputs..][..inputs]
                .iter()
                .zip(x)
                .map(|(w, x)| w * x)
                .sum::<f32>()
                + bias[row]
        };
        x.chunks(inputs)
            .flat_map(|x| (0..outputs).map(|r| row(x, r)).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn every_size_and_precision_gives_the_plain_product() {
        for (inputs, outputs) in [(1, 1), (7, 5), (64, 130), (33, 67), (100, 3)] {
            for tokens in [1, 2, 3, 5, 7, 13, 97, 200] {
                let x = numbers(inputs * tokens, 3);
                let expected = naive(inputs, outputs, &x);
                let empty_q8 = Encoded::Q8 {
                    values: vec![],
                    scales: vec![],
                };
                for (weights, tolerance) in [
                    (Encoded::F32(vec![]), 1e-5),
                    (Encoded::Bf16(vec![]), 2e-2),
                    (empty_q8, 2e-2),
                ] {
                    let found = linear(weights, inputs, outputs).apply(&x);
                    let worst = found
                        .iter()
                        .zip(&expected)
                        .map(|(a, b)| (a - b).abs())
                        .fold(0.0, f32::max);
                    assert!(worst < tolerance, "{inputs}×{outputs}, {tokens} tokens: {worst}");
                }
            }
        }
    }

    #[test]
    fn a_token_gets_the_same_bits_alone_and_in_company() {
        let map = linear(Encoded::Bf16(vec![]), 100, 70);
        let x = numbers(100 * 150, 4);
        let alone: Vec<f32> = x.chunks(100).flat_map(|x| map.apply(x)).collect();
        for tokens in [2, 5, 31, 150] {
            assert_eq!(map.apply(&x[..100 * tokens]), alone[..70 * tokens]);
        }
    }
}

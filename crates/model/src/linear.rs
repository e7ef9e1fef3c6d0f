//! Linear maps: how their weights are stored, and how a product is spread over threads.

use rayon::prelude::*;

use crate::kernels::{Activations, Operand, Panels, Product, ROWS, STREAMS, Weights};

/// How weights are kept in memory. Sums are 32-bit floats in all of them, and so are activations, with two exceptions: beside 8-bit weights,
/// and beside bfloat16 where the processor has instructions for tiles of it (Intel AMX), they are rounded alike for each product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As the file has it: bfloat16, else 32 bits.
    Auto,
    /// 32-bit floats: exact.
    F32,
    /// Upper half of 32-bit floats: weights of files in bfloat16 stay what they are.
    Bf16,
    /// 8-bit whole numbers with a scale for each 32, and activations rounded the same way before each product: about 0.5 %
    /// error of each factor.
    Q8,
}

impl Precision {
    /// Room for a matrix that files hold in 32 bits (`wide`) or fewer.
    pub(crate) fn zeros(self, wide: bool, rows: usize, columns: usize) -> Weights {
        match (self, wide) {
            (Self::F32, _) | (Self::Auto, true) => Weights::F32(Panels::zeros(rows, columns)),
            (Self::Bf16, _) | (Self::Auto, false) if amx::Amx::detect().is_some() => {
                Weights::Tiles(Panels::zeros(rows, columns))
            }
            (Self::Bf16, _) | (Self::Auto, false) => Weights::Bf16(Panels::zeros(rows, columns)),
            (Self::Q8, _) => Weights::Q8(Panels::zeros(rows, columns)),
        }
    }
}

/// Tokens a thread needs at least for a share of tokens to pay: below, threads share the rows.
const TOKENS_PER_THREAD: usize = 16;
/// Tokens that are carried past all rows at a time, so that they stay in the cache near the core.
const TOKEN_BLOCK: usize = 128;
/// Bytes of weights in one piece of work when threads share rows: enough that taking a piece costs little beside it.
const PIECE: usize = 64 << 10;

/// `y = W x (+ b)`.
#[derive(Debug)]
pub(crate) struct Linear {
    weights: Weights,
    bias: Option<Vec<f32>>,
}

impl Linear {
    pub(crate) fn new(weights: Weights, bias: Option<Vec<f32>>) -> Self {
        Self { weights, bias }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.weights.rows()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.weights.bytes() + self.bias.as_ref().map_or(0, |bias| bias.len() * 4)
    }

    /// Row `row` as 32-bit floats into `out`: an embedding.
    pub(crate) fn copy_row(&self, row: usize, out: &mut [f32]) {
        self.weights.read(row, out);
    }

    /// Applies the map to tokens one after the other.
    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut out = match &self.weights {
            Weights::F32(panels) => apply(panels, x),
            Weights::Bf16(panels) => apply(panels, x),
            Weights::Tiles(panels) => apply(panels, x),
            Weights::Q8(panels) => apply(panels, x),
        };
        if let Some(bias) = &self.bias {
            for token in out.chunks_exact_mut(bias.len()) {
                token.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
            }
        }
        out
    }
}

fn apply<W: Operand>(panels: &Panels<W>, x: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (panels.columns(), panels.rows());
    let tokens = x.len() / inputs;
    let mut out = vec![0.0; tokens * outputs];
    let threads = rayon::current_num_threads();
    if tokens >= threads * TOKENS_PER_THREAD {
        let blocks = threads * tokens.div_ceil(threads * TOKEN_BLOCK);
        let share = tokens.div_ceil(blocks);
        let shares = x
            .par_chunks(share * inputs)
            .zip(out.par_chunks_mut(share * outputs));
        shares.for_each(|(x, out)| {
            let x = W::arrange(x, inputs);
            part(panels, 0..outputs.div_ceil(ROWS), &x, out, (outputs, ROWS));
        });
    } else if tokens > 0 {
        by_rows(panels, &W::arrange(x, inputs), &mut out);
    }
    out
}

/// Few tokens: threads share the rows.
fn by_rows<W: Operand>(panels: &Panels<W>, x: &Activations<W::X>, out: &mut [f32]) {
    let (tokens, outputs) = (x.tokens, panels.rows());
    let count = outputs.div_ceil(ROWS);
    let piece = (PIECE * count / panels.bytes().max(1))
        .max(1)
        .next_multiple_of(STREAMS);
    let run = |(index, out): (usize, &mut [f32])| {
        let first = index * piece;
        let panel_stride = ROWS * tokens;
        part(
            panels,
            first..count.min(first + piece),
            x,
            out,
            (ROWS, panel_stride),
        );
    };
    if tokens == 1 {
        out.par_chunks_mut(piece * ROWS).enumerate().for_each(run);
        return;
    }
    let mut by_panel = vec![0.0; count * ROWS * tokens];
    by_panel
        .par_chunks_mut(piece * ROWS * tokens)
        .enumerate()
        .for_each(run);
    for (panel, values) in by_panel.chunks_exact(ROWS * tokens).enumerate() {
        for (token, values) in values.as_chunks::<ROWS>().0.iter().enumerate() {
            let own = &mut out[token * outputs..][..outputs][panel * ROWS..];
            let rows = own.len().min(ROWS);
            own[..rows].copy_from_slice(&values[..rows]);
        }
    }
}

fn part<W: Operand>(
    panels: &Panels<W>,
    range: std::ops::Range<usize>,
    x: &Activations<W::X>,
    out: &mut [f32],
    strides: (usize, usize),
) {
    W::product(Product {
        panels,
        first: range.start,
        count: range.len(),
        x,
        out,
        token_stride: strides.0,
        panel_stride: strides.1,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| random.f32() - 0.5).collect()
    }

    fn linear(precision: Precision, inputs: usize, outputs: usize) -> Linear {
        let mut weights = precision.zeros(true, outputs, inputs);
        weights.write(0, &numbers(inputs * outputs, 1));
        Linear::new(weights, Some(numbers(outputs, 2)))
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
                for (precision, tolerance) in [
                    (Precision::F32, 1e-5),
                    (Precision::Bf16, 2e-2),
                    (Precision::Q8, 3e-2),
                ] {
                    let found = linear(precision, inputs, outputs).apply(&x);
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
        for precision in [Precision::F32, Precision::Bf16, Precision::Q8] {
            let map = linear(precision, 100, 70);
            let x = numbers(100 * 150, 4);
            let alone: Vec<f32> = x.chunks(100).flat_map(|x| map.apply(x)).collect();
            for tokens in [2, 5, 31, 150] {
                assert_eq!(map.apply(&x[..100 * tokens]), alone[..70 * tokens]);
            }
        }
    }
}

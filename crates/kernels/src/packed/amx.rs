//! Products with bfloat16 weights on processors with Intel AMX: activations are rounded to bfloat16, too.
//!
//! A token gets the same bits whatever is computed beside it, as in the other products.

use ::amx::{Amx, DEPTH, Pairs, Rows, SIDE, Sums};
use pulp::{Arch, Simd, WithSimd};

use super::activations::Activations;
use super::panels::{ROWS, Step};
use super::product::{Multiply, Product};
use crate::bf16;

const _: () = assert!(SIDE == ROWS, "a panel is as wide as a tile");

impl Step for Pairs {
    const COLUMNS: usize = DEPTH;
    const EMPTY: Self = Self::ZERO;

    fn put(&mut self, lane: usize, weights: &[f32]) {
        for (words, pair) in self.0.iter_mut().zip(weights.chunks(2)) {
            words[lane] = bf16::pair(pair[0], pair.get(1).copied().unwrap_or(0.0));
        }
    }

    fn get(&self, lane: usize, weights: &mut [f32]) {
        for (words, pair) in self.0.iter().zip(weights.chunks_mut(2)) {
            let halves = [words[lane] << 16, words[lane] & 0xffff_0000];
            for (weight, half) in pair.iter_mut().zip(halves) {
                *weight = f32::from_bits(half);
            }
        }
    }
}

impl Multiply for Pairs {
    type X = Rows;

    /// Tiles of [`SIDE`] tokens, the last filled up, each with a step for [`DEPTH`] columns.
    fn arrange(x: &[f32], columns: usize) -> Activations<Rows> {
        Activations {
            tokens: x.len() / columns,
            sizes: &[SIDE],
            data: Arch::new().dispatch(Rounding { x, columns }),
        }
    }

    fn multiply(mut product: Product<'_, Self>) {
        let width = product.panels.columns().div_ceil(DEPTH);
        let mut sums = Sums::ZERO;
        for index in 0..product.count {
            let panel = &product.panels.panel(product.first + index)[..width];
            for (tile, x) in product.x.data.chunks_exact(width).enumerate() {
                let tokens = SIDE.min(product.x.tokens - tile * SIDE);
                match Amx::detect() {
                    Some(amx) => amx.product(x, panel, tokens, &mut sums),
                    None => fallback(x, panel, tokens, &mut sums),
                }
                product.store(tile * SIDE, index, &sums.0[..tokens]);
            }
        }
    }
}

/// Does the same without AMX. Such weights are not made there, but a product always has a result.
fn fallback(left: &[Rows], right: &[Pairs], rows: usize, out: &mut Sums) {
    let wide = |half: u32| f32::from_bits(half << 16);
    for (row, out) in out.0[..rows].iter_mut().enumerate() {
        *out = [0.0; SIDE];
        for (left, right) in left.iter().zip(right) {
            let (pairs, _) = left.0[row].as_chunks::<2>();
            for (column, out) in out.iter_mut().enumerate() {
                let (mut even, mut odd) = (0.0_f32, 0.0_f32);
                for (pair, words) in pairs.iter().zip(&right.0) {
                    even = wide(u32::from(pair[0])).mul_add(wide(words[column] & 0xffff), even);
                    odd = wide(u32::from(pair[1])).mul_add(wide(words[column] >> 16), odd);
                }
                *out += even + odd;
            }
        }
    }
}

struct Rounding<'a> {
    x: &'a [f32],
    columns: usize,
}

impl WithSimd for Rounding<'_> {
    type Output = Vec<Rows>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<Rows> {
        let width = self.columns.div_ceil(DEPTH);
        let tokens = self.x.len() / self.columns;
        let mut out = vec![Rows::ZERO; tokens.div_ceil(SIDE) * width];
        for (token, values) in self.x.chunks_exact(self.columns).enumerate() {
            let steps = &mut out[token / SIDE * width..][..width];
            for (step, values) in steps.iter_mut().zip(values.chunks(DEPTH)) {
                for (out, value) in step.0[token % SIDE].iter_mut().zip(values) {
                    *out = bf16::half(*value);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::floats::tests::numbers;

    #[test]
    fn processors_without_amx_give_nearly_the_same() {
        let Some(amx) = Amx::detect() else { return };
        for (columns, tokens) in [(5, 1), (64, 7), (333, 32)] {
            let x = Pairs::arrange(&numbers(columns * tokens, 1), columns);
            let mut panel = vec![Pairs::ZERO; columns.div_ceil(DEPTH)];
            for (lane, row) in numbers(columns * SIDE, 2).chunks(columns).enumerate() {
                for (step, weights) in panel.iter_mut().zip(row.chunks(DEPTH)) {
                    step.put(lane, weights);
                }
            }
            let (mut found, mut plain) = (Sums::ZERO, Sums::ZERO);
            amx.product(&x.data, &panel, tokens, &mut found);
            fallback(&x.data, &panel, tokens, &mut plain);
            let pairs = found.0.as_flattened().iter().zip(plain.0.as_flattened());
            assert!(
                pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5),
                "{columns} {tokens}"
            );
            assert!(pairs.clone().any(|(a, _)| a.abs() > 0.01));
        }
    }
}

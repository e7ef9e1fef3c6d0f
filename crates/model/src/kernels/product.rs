//! Products of activations with the rows of a matrix.
//!
//! Both sides are contiguous along the summed dimension, so a tile is a set of dot products held in registers: four rows by
//! as many tokens as registers allow. Rows stored in fewer bits are widened once for all tokens.

use pulp::{Simd, WithSimd};

use super::encoded::Rows;

/// Rows of a tile.
const ROWS: usize = 4;
/// Tokens of a tile with 32 vector registers, and with 16.
const WIDE: usize = 6;
const NARROW: usize = 3;

/// `out[token][row - first] = x[token] · rows[row] (+ bias[row])` for `count` rows from `first` on.
///
/// `out` is laid out by `token_stride` and `row_stride`, so that callers choose what is contiguous.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// Activations, one token after the other, `rows.columns` each.
    pub(crate) x: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
    pub(crate) token_stride: usize,
    pub(crate) row_stride: usize,
    /// Room for four widened rows: see [`Rows::buffer`].
    pub(crate) buffer: &'a mut [f32],
}

pub(crate) fn product(product: Product<'_>) {
    super::arch().dispatch(product);
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if S::REGISTER_COUNT >= 32 {
            self.run::<S, WIDE>(simd);
        } else {
            self.run::<S, NARROW>(simd);
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const TOKENS: usize>(&mut self, simd: S) {
        let mut row = 0;
        while row + ROWS <= self.count {
            self.block::<S, ROWS, TOKENS>(simd, row);
            row += ROWS;
        }
        while row < self.count {
            self.block::<S, 1, TOKENS>(simd, row);
            row += 1;
        }
    }

    /// `R` rows with all tokens.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const TOKENS: usize>(&mut self, simd: S, row: usize) {
        let columns = self.rows.columns;
        let (rows, first, size) = (self.rows, self.first, self.rows.buffer());
        let mut rest = &mut *self.buffer;
        // Loops, not closures: a closure that is not inlined would be compiled for the oldest processor.
        let mut weights: [&[f32]; R] = [&[]; R];
        for (r, weight) in weights.iter_mut().enumerate() {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(size);
            rest = others;
            *weight = rows.row(simd, first + row + r, own);
        }
        let tokens = self.x.len() / columns;
        let mut token = 0;
        macro_rules! tiles {
            ($size:expr) => {
                while tokens - token >= $size {
                    let mut x: [&[f32]; $size] = [&[]; $size];
                    for (t, x) in x.iter_mut().enumerate() {
                        *x = &self.x[(token + t) * columns..][..columns];
                    }
                    let sums = tile::<S, R, { $size }>(simd, weights, x);
                    for r in 0..R {
                        let bias = self.bias.map_or(0.0, |bias| bias[first + row + r]);
                        for t in 0..$size {
                            self.out[(token + t) * self.token_stride + (row + r) * self.row_stride] =
                                sums[r][t] + bias;
                        }
                    }
                    token += $size;
                }
            };
        }
        if TOKENS == WIDE {
            tiles!(6);
            tiles!(4);
        }
        tiles!(3);
        tiles!(2);
        tiles!(1);
    }
}

/// Dot products of `R` rows with `T` tokens; all slices have one length.
#[inline(always)]
fn tile<S: Simd, const R: usize, const T: usize>(
    simd: S,
    rows: [&[f32]; R],
    tokens: [&[f32]; T],
) -> [[f32; T]; R] {
    let length = rows[0].len() / S::F32_LANES;
    let mut row_vectors: [&[S::f32s]; R] = [&[]; R];
    for (vectors, row) in row_vectors.iter_mut().zip(rows) {
        *vectors = &S::as_simd_f32s(row).0[..length];
    }
    let mut token_vectors: [&[S::f32s]; T] = [&[]; T];
    for (vectors, token) in token_vectors.iter_mut().zip(tokens) {
        *vectors = &S::as_simd_f32s(token).0[..length];
    }
    let mut sums = [[simd.splat_f32s(0.0); T]; R];
    for i in 0..length {
        let mut x = [simd.splat_f32s(0.0); T];
        for t in 0..T {
            x[t] = token_vectors[t][i];
        }
        for r in 0..R {
            let w = row_vectors[r][i];
            for t in 0..T {
                sums[r][t] = simd.mul_add_e_f32s(w, x[t], sums[r][t]);
            }
        }
    }
    let tail = length * S::F32_LANES;
    let mut out = [[0.0; T]; R];
    for r in 0..R {
        for t in 0..T {
            let mut rest = 0.0;
            for (w, x) in rows[r][tail..].iter().zip(&tokens[t][tail..]) {
                rest += w * x;
            }
            out[r][t] = simd.reduce_sum_f32s(sums[r][t]) + rest;
        }
    }
    out
}

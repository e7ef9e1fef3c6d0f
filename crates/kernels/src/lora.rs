//! Products with the two matrices of a LoRA adapter, which have few rows. The large operand is read in place.
//!
//! [`project_down`] maps a row to `rank` values, [`add_projected_up`] maps them back, and [`weight_gradients`] sums over rows.
//! Each output is summed in one order, however many threads share the work.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows of a LoRA matrix that are used at once; each has a vector of sums.
const RANK: usize = 8;
/// Columns of gradients that are computed at once.
const COLUMNS: usize = 32;

/// Rows of `width` elements that begin `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct StridedRows<'a> {
    /// Elements, from the first row on.
    pub data: &'a [f32],
    /// Elements of a row.
    pub width: usize,
    /// Elements from one row to the next.
    pub stride: usize,
}

impl<'a> StridedRows<'a> {
    fn row(self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.width]
    }
}

/// Writes `scale · x · matrixᵀ`; `matrix` is `[rank, width]`.
pub fn project_down(x: &[f32], matrix: &[f32], scale: f32, out: &mut [f32]) {
    Arch::new().dispatch(Down {
        x,
        matrix,
        scale,
        out,
    });
}

/// Adds `inner · matrix`; `matrix` is `[rank, width]`.
pub fn add_projected_up(inner: &[f32], matrix: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(Up { inner, matrix, out });
}

struct Down<'a> {
    x: &'a [f32],
    matrix: &'a [f32],
    scale: f32,
    out: &'a mut [f32],
}

impl WithSimd for Down<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.x.len();
        let (whole, rest) = self.out.as_chunks_mut::<RANK>();
        let done = whole.len() * RANK * width;
        for (out, rows) in whole.iter_mut().zip(self.matrix.chunks_exact(RANK * width)) {
            *out = dots::<S, RANK>(simd, self.x, rows, self.scale);
        }
        for (out, row) in rest.iter_mut().zip(self.matrix[done..].chunks_exact(width)) {
            [*out] = dots::<S, 1>(simd, self.x, row, self.scale);
        }
    }
}

/// Returns the product of a row with each of `R` others.
#[inline(always)]
fn dots<S: Simd, const R: usize>(simd: S, x: &[f32], rows: &[f32], scale: f32) -> [f32; R] {
    let mut sums = [simd.splat_f32s(0.0); R];
    let rows: [&[f32]; R] = std::array::from_fn(|r| &rows[r * x.len()..(r + 1) * x.len()]);
    let (vectors, tail) = S::as_simd_f32s(x);
    let others = rows.map(|row| &S::as_simd_f32s(row).0[..vectors.len()]);
    for (i, x) in vectors.iter().enumerate() {
        for r in 0..R {
            sums[r] = simd.mul_add_e_f32s(*x, others[r][i], sums[r]);
        }
    }
    let first = x.len() - tail.len();
    std::array::from_fn(|r| {
        let rest: f32 = tail.iter().zip(&rows[r][first..]).map(|(a, b)| a * b).sum();
        scale * (simd.reduce_sum_f32s(sums[r]) + rest)
    })
}

struct Up<'a> {
    inner: &'a [f32],
    matrix: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Up<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.out.len();
        let (whole, rest) = self.inner.as_chunks::<RANK>();
        let done = whole.len() * RANK * width;
        for (shares, rows) in whole.iter().zip(self.matrix.chunks_exact(RANK * width)) {
            combine(simd, shares, rows, self.out);
        }
        for (share, row) in rest.iter().zip(self.matrix[done..].chunks_exact(width)) {
            combine(simd, &[*share], row, self.out);
        }
    }
}

/// Adds a share of each row.
#[inline(always)]
fn combine<S: Simd, const R: usize>(simd: S, shares: &[f32; R], rows: &[f32], out: &mut [f32]) {
    let width = out.len();
    let rows: [&[f32]; R] = std::array::from_fn(|r| &rows[r * width..(r + 1) * width]);
    let (vectors, tail) = S::as_mut_simd_f32s(out);
    let others = rows.map(|row| &S::as_simd_f32s(row).0[..vectors.len()]);
    let splat = shares.map(|share| simd.splat_f32s(share));
    for (i, out) in vectors.iter_mut().enumerate() {
        let mut sum = *out;
        for r in 0..R {
            sum = simd.mul_add_e_f32s(splat[r], others[r][i], sum);
        }
        *out = sum;
    }
    let first = width - tail.len();
    for (i, out) in tail.iter_mut().enumerate() {
        for r in 0..R {
            *out += shares[r] * rows[r][first + i];
        }
    }
}

/// Returns `innerᵀ · y` for each pair, as blocks of [`COLUMNS`] columns of `y`, each `[rank, COLUMNS]`.
#[must_use]
pub fn weight_gradients(pairs: &[(StridedRows<'_>, StridedRows<'_>)], tokens: usize) -> Vec<Vec<Vec<f32>>> {
    let blocks = |index: usize| (0..pairs[index].1.width).step_by(COLUMNS);
    let jobs: Vec<(usize, usize)> = (0..pairs.len())
        .flat_map(|index| blocks(index).map(move |first| (index, first)))
        .collect();
    let job = |(index, first): &(usize, usize)| {
        let (inner, y) = pairs[*index];
        let mut out = vec![0.0; inner.width * COLUMNS];
        Arch::new().dispatch(WeightGradient {
            inner,
            y,
            tokens,
            columns: (*first, COLUMNS.min(y.width - first)),
            out: &mut out,
        });
        out
    };
    let mut all = jobs.par_iter().map(job).collect::<Vec<_>>().into_iter();
    (0..pairs.len())
        .map(|index| all.by_ref().take(blocks(index).len()).collect())
        .collect()
}

/// Adds the blocks of [`weight_gradients`] to a matrix `[rank, width]`.
pub fn add_blocks(blocks: &[Vec<f32>], width: usize, out: &mut [f32]) {
    for (rank, row) in out.chunks_exact_mut(width).enumerate() {
        for (block, row) in blocks.iter().zip(row.chunks_mut(COLUMNS)) {
            let sums = &block[rank * COLUMNS..];
            row.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// Adds the blocks of [`weight_gradients`] to a transposed matrix, `[width, rank]`.
pub fn add_blocks_transposed(blocks: &[Vec<f32>], rank: usize, out: &mut [f32]) {
    for (block, rows) in blocks.iter().zip(out.chunks_mut(COLUMNS * rank)) {
        for (column, row) in rows.chunks_exact_mut(rank).enumerate() {
            let sums = block[column..].iter().step_by(COLUMNS);
            row.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// Returns the transpose of a matrix `[rows, columns]`.
#[must_use]
pub fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns.max(1);
    let mut out = vec![0.0; matrix.len()];
    for (row, values) in matrix.chunks_exact(columns.max(1)).enumerate() {
        let to = out[row..].iter_mut().step_by(rows);
        to.zip(values).for_each(|(out, value)| *out = *value);
    }
    out
}

struct WeightGradient<'a> {
    inner: StridedRows<'a>,
    y: StridedRows<'a>,
    tokens: usize,
    columns: (usize, usize),
    out: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut rest = &mut *self.out;
        let mut first = 0;
        while first < self.inner.width {
            let many = self.inner.width - first >= RANK;
            let own = if many { RANK } else { 1 };
            let (out, others) = rest.split_at_mut(own * COLUMNS);
            let inner = StridedRows {
                data: &self.inner.data[first..],
                width: own,
                ..self.inner
            };
            if many {
                sums::<S, RANK>(simd, inner, self.y, self.tokens, self.columns, out);
            } else {
                sums::<S, 1>(simd, inner, self.y, self.tokens, self.columns, out);
            }
            (rest, first) = (others, first + own);
        }
    }
}

/// Sums `R` values of `inner` times each of some columns over all tokens.
#[inline(always)]
fn sums<S: Simd, const R: usize>(
    simd: S,
    inner: StridedRows<'_>,
    y: StridedRows<'_>,
    tokens: usize,
    (column, width): (usize, usize),
    out: &mut [f32],
) {
    let per = COLUMNS / S::F32_LANES;
    let mut padded = [0.0_f32; COLUMNS];
    // Two vectors at a time, so that all sums stay in registers.
    for part in (0..per).step_by(2) {
        let vectors = 2.min(per - part);
        let mut all = [[simd.splat_f32s(0.0); 2]; R];
        for token in 0..tokens {
            let shares = &inner.row(token)[..R];
            let row = &y.row(token)[column..column + width];
            let row = if width == COLUMNS {
                row
            } else {
                padded[..width].copy_from_slice(row);
                &padded
            };
            let row = &S::as_simd_f32s(row).0[part..part + vectors];
            for r in 0..R {
                let share = simd.splat_f32s(shares[r]);
                for (sum, y) in all[r].iter_mut().zip(row) {
                    *sum = simd.mul_add_e_f32s(share, *y, *sum);
                }
            }
        }
        for (out, sums) in out.chunks_exact_mut(COLUMNS).zip(&all) {
            S::as_mut_simd_f32s(out).0[part..part + vectors].copy_from_slice(&sums[..vectors]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    fn near(found: f32, expected: f64) -> bool {
        (f64::from(found) - expected).abs() < 1e-4
    }

    #[test]
    fn products_match_the_schoolbook_at_every_rank_and_width() {
        for (tokens, width, rank) in [(1, 1, 1), (3, 7, 2), (19, 33, 8), (40, 70, 13), (5, 16, 40)] {
            let mut random = Random::new(&[9]);
            let mut draw =
                |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal() as f32).collect() };
            let stride = width + 3;
            let (x, matrix) = (draw(tokens * stride), draw(rank * width));
            let x_rows = StridedRows {
                data: &x,
                width,
                stride,
            };
            let at_of = |token: usize, i: usize| f64::from(x[token * stride + i]);

            let mut inner = vec![0.0; tokens * rank];
            let mut out = x.clone();
            for token in 0..tokens {
                let inner = &mut inner[token * rank..][..rank];
                project_down(x_rows.row(token), &matrix, 0.5, inner);
                add_projected_up(inner, &matrix, &mut out[token * stride..][..width]);
            }
            for (at, found) in inner.iter().enumerate() {
                let (token, r) = (at / rank, at % rank);
                let sum: f64 = (0..width)
                    .map(|i| at_of(token, i) * f64::from(matrix[r * width + i]))
                    .sum();
                assert!(near(*found, 0.5 * sum), "{tokens} {width} {rank}");
            }
            for (at, found) in out.iter().enumerate() {
                let (token, i) = (at / stride, at % stride);
                let own = |r: usize| f64::from(inner[token * rank + r]) * f64::from(matrix[r * width + i]);
                let sum: f64 = if i < width { (0..rank).map(own).sum() } else { 0.0 };
                assert!(
                    (f64::from(*found) - at_of(token, i) - sum).abs() < 1e-3,
                    "{tokens} {width} {rank}"
                );
            }

            let inner_rows = StridedRows {
                data: &inner,
                width: rank,
                stride: rank,
            };
            let [other, blocks]: [_; 2] =
                weight_gradients(&[(x_rows, inner_rows), (inner_rows, x_rows)], tokens)
                    .try_into()
                    .unwrap();
            assert_eq!(other.len(), rank.div_ceil(COLUMNS));
            let (mut rows, mut columns) = (vec![1.0; rank * width], vec![1.0; rank * width]);
            add_blocks(&blocks, width, &mut rows);
            add_blocks_transposed(&blocks, rank, &mut columns);
            for r in 0..rank {
                for i in 0..width {
                    let own = |token: usize| f64::from(inner[token * rank + r]) * at_of(token, i);
                    let sum: f64 = 1.0 + (0..tokens).map(own).sum::<f64>();
                    assert!((f64::from(rows[r * width + i]) - sum).abs() < 1e-3 * sum.abs().max(1.0));
                }
            }
            assert_eq!(columns, transposed(&rows, width));
        }
    }
}

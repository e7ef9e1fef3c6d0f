//! Products with a factor of low rank: the large matrix beside it is read where it lies, and copied nowhere.
//!
//! [`into`] makes a few values of a row, [`out_of`] adds what they stand for to a row, and [`between`] sums over rows. Each output
//! is summed in one order, however many threads share the work.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows of a factor of low rank that are used at once; each has a vector of sums.
const RANK: usize = 8;
/// Columns that sums over tokens are made of at once.
const COLUMNS: usize = 32;

/// Rows of a matrix, which begin `stride` elements apart and have `width`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tall<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) width: usize,
    pub(crate) stride: usize,
}

impl<'a> Tall<'a> {
    fn row(self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.width]
    }
}

/// Writes `scale · x · factorᵀ`; `factor` is `[rank, width]`.
pub(crate) fn into(x: &[f32], factor: &[f32], scale: f32, out: &mut [f32]) {
    Arch::new().dispatch(Into {
        x,
        factor,
        scale,
        out,
    });
}

/// Adds `inner · factor`; `factor` is `[rank, width]`.
pub(crate) fn out_of(inner: &[f32], factor: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(OutOf { inner, factor, out });
}

struct Into<'a> {
    x: &'a [f32],
    factor: &'a [f32],
    scale: f32,
    out: &'a mut [f32],
}

impl WithSimd for Into<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.x.len();
        let (whole, rest) = self.out.as_chunks_mut::<RANK>();
        let done = whole.len() * RANK * width;
        for (out, rows) in whole.iter_mut().zip(self.factor.chunks_exact(RANK * width)) {
            *out = dots::<S, RANK>(simd, self.x, rows, self.scale);
        }
        for (out, row) in rest.iter_mut().zip(self.factor[done..].chunks_exact(width)) {
            [*out] = dots::<S, 1>(simd, self.x, row, self.scale);
        }
    }
}

/// The product of a row with each of some others.
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

struct OutOf<'a> {
    inner: &'a [f32],
    factor: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for OutOf<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.out.len();
        let (whole, rest) = self.inner.as_chunks::<RANK>();
        let done = whole.len() * RANK * width;
        for (shares, rows) in whole.iter().zip(self.factor.chunks_exact(RANK * width)) {
            combine(simd, shares, rows, self.out);
        }
        for (share, row) in rest.iter().zip(self.factor[done..].chunks_exact(width)) {
            combine(simd, &[*share], row, self.out);
        }
    }
}

/// Adds so much of each row.
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

/// `innerᵀ · y` for each pair of these, as blocks of [`COLUMNS`] columns of `y`, each `[rank, COLUMNS]`.
pub(crate) fn between(pairs: &[(Tall<'_>, Tall<'_>)], tokens: usize) -> Vec<Vec<Vec<f32>>> {
    let blocks = |index: usize| (0..pairs[index].1.width).step_by(COLUMNS);
    let jobs: Vec<(usize, usize)> = (0..pairs.len())
        .flat_map(|index| blocks(index).map(move |first| (index, first)))
        .collect();
    let job = |(index, first): &(usize, usize)| {
        let (inner, y) = pairs[*index];
        let mut out = vec![0.0; inner.width * COLUMNS];
        Arch::new().dispatch(Between {
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

/// Adds what [`between`] returned to a matrix `[rank, width]`.
pub(crate) fn add_rows(blocks: &[Vec<f32>], width: usize, out: &mut [f32]) {
    for (rank, row) in out.chunks_exact_mut(width).enumerate() {
        for (block, row) in blocks.iter().zip(row.chunks_mut(COLUMNS)) {
            let sums = &block[rank * COLUMNS..];
            row.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// Adds it, rows as columns, to a matrix `[width, rank]`.
pub(crate) fn add_columns(blocks: &[Vec<f32>], rank: usize, out: &mut [f32]) {
    for (block, rows) in blocks.iter().zip(out.chunks_mut(COLUMNS * rank)) {
        for (column, row) in rows.chunks_exact_mut(rank).enumerate() {
            let sums = block[column..].iter().step_by(COLUMNS);
            row.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// A matrix `[rows, columns]`, rows as columns.
pub(crate) fn turned(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns.max(1);
    let mut out = vec![0.0; matrix.len()];
    for (row, values) in matrix.chunks_exact(columns.max(1)).enumerate() {
        let to = out[row..].iter_mut().step_by(rows);
        to.zip(values).for_each(|(out, value)| *out = *value);
    }
    out
}

struct Between<'a> {
    inner: Tall<'a>,
    y: Tall<'a>,
    tokens: usize,
    columns: (usize, usize),
    out: &'a mut [f32],
}

impl WithSimd for Between<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut rest = &mut *self.out;
        let mut first = 0;
        while first < self.inner.width {
            let many = self.inner.width - first >= RANK;
            let own = if many { RANK } else { 1 };
            let (out, others) = rest.split_at_mut(own * COLUMNS);
            let inner = Tall {
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

/// Sums over tokens of `R` values of `inner` times each of some columns.
#[inline(always)]
fn sums<S: Simd, const R: usize>(
    simd: S,
    inner: Tall<'_>,
    y: Tall<'_>,
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
    use crate::maths::random::Random;

    fn near(found: f32, expected: f64) -> bool {
        (f64::from(found) - expected).abs() < 1e-4
    }

    #[test]
    fn products_are_those_of_the_schoolbook_at_every_rank_and_width() {
        for (tokens, width, rank) in [(1, 1, 1), (3, 7, 2), (19, 33, 8), (40, 70, 13), (5, 16, 40)] {
            let mut random = Random::new(&[9]);
            let mut draw =
                |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal() as f32).collect() };
            let stride = width + 3;
            let (x, factor) = (draw(tokens * stride), draw(rank * width));
            let tall = Tall {
                data: &x,
                width,
                stride,
            };
            let at_of = |token: usize, i: usize| f64::from(x[token * stride + i]);

            let mut inner = vec![0.0; tokens * rank];
            let mut out = x.clone();
            for token in 0..tokens {
                let inner = &mut inner[token * rank..][..rank];
                into(tall.row(token), &factor, 0.5, inner);
                out_of(inner, &factor, &mut out[token * stride..][..width]);
            }
            for (at, found) in inner.iter().enumerate() {
                let (token, r) = (at / rank, at % rank);
                let sum: f64 = (0..width)
                    .map(|i| at_of(token, i) * f64::from(factor[r * width + i]))
                    .sum();
                assert!(near(*found, 0.5 * sum), "{tokens} {width} {rank}");
            }
            for (at, found) in out.iter().enumerate() {
                let (token, i) = (at / stride, at % stride);
                let own = |r: usize| f64::from(inner[token * rank + r]) * f64::from(factor[r * width + i]);
                let sum: f64 = if i < width { (0..rank).map(own).sum() } else { 0.0 };
                assert!(
                    (f64::from(*found) - at_of(token, i) - sum).abs() < 1e-3,
                    "{tokens} {width} {rank}"
                );
            }

            let shares = Tall {
                data: &inner,
                width: rank,
                stride: rank,
            };
            let [other, blocks]: [_; 2] = between(&[(tall, shares), (shares, tall)], tokens)
                .try_into()
                .unwrap();
            assert_eq!(other.len(), rank.div_ceil(COLUMNS));
            let (mut rows, mut columns) = (vec![1.0; rank * width], vec![1.0; rank * width]);
            add_rows(&blocks, width, &mut rows);
            add_columns(&blocks, rank, &mut columns);
            for r in 0..rank {
                for i in 0..width {
                    let own = |token: usize| f64::from(inner[token * rank + r]) * at_of(token, i);
                    let sum: f64 = 1.0 + (0..tokens).map(own).sum::<f64>();
                    assert!((f64::from(rows[r * width + i]) - sum).abs() < 1e-3 * sum.abs().max(1.0));
                }
            }
            assert_eq!(columns, turned(&rows, width));
        }
    }
}

//! Attention of some queries over the cached keys and values of one key-value head.

use pulp::{Arch, Simd, WithSimd};

use crate::reduce::{exp_sum, softcap};

/// Queries of consecutive positions that share one key-value head, `group` of them a position.
#[derive(Debug)]
pub struct CachedAttention<'a> {
    /// Position after position, and within one head after head; `head_dim` elements each.
    pub queries: &'a [f32],
    /// Keys of positions from 0 on, `head_dim` elements each.
    pub keys: &'a [f32],
    /// Values, laid out as `keys`.
    pub values: &'a [f32],
    /// Elements of a head.
    pub head_dim: usize,
    /// Query heads that share the key-value head.
    pub group: usize,
    /// Position of the first query.
    pub first: usize,
    /// Positions that a query sees, itself included; all when absent.
    pub sliding_window: Option<usize>,
    /// Factor on scores.
    pub scale: f32,
    /// Bound on scores, see [`softcap`].
    pub softcap: Option<f32>,
    /// The result, laid out as `queries`.
    pub out: &'a mut [f32],
    /// Room for scores of one position: `group` times the positions that are cached.
    pub scores: &'a mut [f32],
}

impl CachedAttention<'_> {
    /// Writes the result to `out`.
    pub fn forward(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for CachedAttention<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (head_dim, width) = (self.head_dim, self.group * self.head_dim);
        let tokens = self
            .queries
            .chunks_exact(width)
            .zip(self.out.chunks_exact_mut(width));
        for (token, (queries, out)) in tokens.enumerate() {
            let end = self.first + token + 1;
            let start = self.sliding_window.map_or(0, |window| end.saturating_sub(window));
            let keys = &self.keys[start * head_dim..end * head_dim];
            let values = &self.values[start * head_dim..end * head_dim];
            let seen = end - start;
            for (queries, out, scores) in heads(queries, out, self.scores, head_dim, seen) {
                dots(simd, queries, keys, self.scale, scores);
                if let Some(cap) = self.softcap {
                    softcap(scores, cap);
                }
                softmax(scores);
                weighted(simd, scores, values, out);
            }
        }
    }
}

/// Iterates over query heads, each with its output and its scores.
#[inline(always)]
fn heads<'a>(
    queries: &'a [f32],
    out: &'a mut [f32],
    scores: &'a mut [f32],
    head_dim: usize,
    seen: usize,
) -> impl Iterator<Item = (&'a [f32], &'a mut [f32], &'a mut [f32])> {
    let pairs = queries.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim));
    pairs
        .zip(scores.chunks_exact_mut(seen))
        .map(|((queries, out), scores)| (queries, out, scores))
}

/// `scores[i] = scale · query · keys[i]`, four keys at a time.
#[inline(always)]
fn dots<S: Simd>(simd: S, query: &[f32], keys: &[f32], scale: f32, scores: &mut [f32]) {
    let head_dim = query.len();
    let fours = scores.len() / 4 * 4;
    let (in_fours, rest) = scores.split_at_mut(fours);
    for (scores, keys) in in_fours.chunks_exact_mut(4).zip(keys.chunks_exact(4 * head_dim)) {
        let (first, second) = keys.split_at(2 * head_dim);
        let ((a, b), (c, d)) = (first.split_at(head_dim), second.split_at(head_dim));
        let sums = dot::<S, 4>(simd, query, [a, b, c, d]);
        scores
            .iter_mut()
            .zip(sums)
            .for_each(|(score, sum)| *score = sum * scale);
    }
    for (score, key) in rest
        .iter_mut()
        .zip(keys[fours * head_dim..].chunks_exact(head_dim))
    {
        *score = dot::<S, 1>(simd, query, [key])[0] * scale;
    }
}

#[inline(always)]
fn dot<S: Simd, const N: usize>(simd: S, query: &[f32], keys: [&[f32]; N]) -> [f32; N] {
    let (vectors, query_tail) = S::as_simd_f32s(query);
    let mut key_vectors: [&[S::f32s]; N] = [&[]; N];
    let mut key_tails: [&[f32]; N] = [&[]; N];
    for n in 0..N {
        let (vectors_of_key, tail) = S::as_simd_f32s(keys[n]);
        (key_vectors[n], key_tails[n]) = (&vectors_of_key[..vectors.len()], tail);
    }
    let mut sums = [simd.splat_f32s(0.0); N];
    for (i, q) in vectors.iter().enumerate() {
        for n in 0..N {
            sums[n] = simd.mul_add_e_f32s(*q, key_vectors[n][i], sums[n]);
        }
    }
    let mut out = [0.0; N];
    for n in 0..N {
        let mut rest = 0.0;
        for (q, k) in query_tail.iter().zip(key_tails[n]) {
            rest += q * k;
        }
        out[n] = simd.reduce_sum_f32s(sums[n]) + rest;
    }
    out
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let mut max = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = scores.as_chunks::<16>();
    for chunk in chunks {
        for (max, score) in max.iter_mut().zip(chunk) {
            *max = if *score > *max { *score } else { *max };
        }
    }
    let max = rest
        .iter()
        .chain(&max)
        .fold(f32::NEG_INFINITY, |max, score| max.max(*score));
    let scale = exp_sum(scores, max).recip();
    scores.iter_mut().for_each(|score| *score *= scale);
}

/// `out = Σ scores[i] · values[i]`, four vectors of `out` in registers at a time.
#[inline(always)]
fn weighted<S: Simd>(simd: S, scores: &[f32], values: &[f32], out: &mut [f32]) {
    let head_dim = out.len();
    let (vectors, tail) = S::as_mut_simd_f32s(out);
    let mut at = 0;
    macro_rules! strips {
        ($size:expr) => {
            while vectors.len() - at >= $size {
                let mut sums = [simd.splat_f32s(0.0); $size];
                for (score, value) in scores.iter().zip(values.chunks_exact(head_dim)) {
                    let strip = &S::as_simd_f32s(value).0[at..at + $size];
                    let score = simd.splat_f32s(*score);
                    for i in 0..$size {
                        sums[i] = simd.mul_add_e_f32s(score, strip[i], sums[i]);
                    }
                }
                vectors[at..at + $size].copy_from_slice(&sums);
                at += $size;
            }
        };
    }
    strips!(4);
    strips!(1);
    let from = head_dim - tail.len();
    tail.fill(0.0);
    for (score, value) in scores.iter().zip(values.chunks_exact(head_dim)) {
        for (out, value) in tail.iter_mut().zip(&value[from..]) {
            *out += score * value;
        }
    }
}

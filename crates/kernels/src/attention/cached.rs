//! Attention of some queries over the cached keys and values of one key-value head.

use pulp::{Arch, Simd, WithSimd};

use super::element::CacheElement;
use crate::reduce::{exp_sum, softcap};

/// Queries of consecutive positions that share one key-value head, `group` of them a position.
#[derive(Debug)]
pub struct CachedAttention<'a, E> {
    /// Position after position, and within one head after head; `head_dim` numbers each.
    pub queries: &'a [f32],
    /// Keys of positions from 0 on, `head_dim` numbers each.
    pub keys: &'a [E],
    /// Values, laid out as `keys`.
    pub values: &'a [E],
    /// Numbers of a head.
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

impl<E: CacheElement> CachedAttention<'_, E> {
    /// Writes the result to `out`.
    pub fn forward(self) {
        Arch::new().dispatch(self);
    }
}

impl<E: CacheElement> WithSimd for CachedAttention<'_, E> {
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
            let elements = head_dim / E::NUMBERS;
            let keys = &self.keys[start * elements..end * elements];
            let values = &self.values[start * elements..end * elements];
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
fn dots<S: Simd, E: CacheElement>(simd: S, query: &[f32], keys: &[E], scale: f32, scores: &mut [f32]) {
    let size = query.len() / E::NUMBERS;
    let fours = scores.len() / 4 * 4;
    let (in_fours, rest) = scores.split_at_mut(fours);
    for (scores, keys) in in_fours.chunks_exact_mut(4).zip(keys.chunks_exact(4 * size)) {
        let (first, second) = keys.split_at(2 * size);
        let ((a, b), (c, d)) = (first.split_at(size), second.split_at(size));
        let sums = dot::<S, E, 4>(simd, query, [a, b, c, d]);
        scores
            .iter_mut()
            .zip(sums)
            .for_each(|(score, sum)| *score = sum * scale);
    }
    for (score, key) in rest.iter_mut().zip(keys[fours * size..].chunks_exact(size)) {
        *score = dot::<S, E, 1>(simd, query, [key])[0] * scale;
    }
}

#[inline(always)]
fn dot<S: Simd, E: CacheElement, const N: usize>(simd: S, query: &[f32], keys: [&[E]; N]) -> [f32; N] {
    let size = query.len() / E::NUMBERS;
    let mut sums = [simd.splat_f32s(0.0); N];
    let mut rest = [0.0; N];
    for half in 0..E::NUMBERS {
        let (vectors, query_tail) = S::as_simd_f32s(&query[half * size..(half + 1) * size]);
        let mut key_vectors: [&[E::Vector<S>]; N] = [&[]; N];
        let mut key_tails: [&[E]; N] = [&[]; N];
        for n in 0..N {
            let (vectors_of_key, tail) = E::vectors::<S>(keys[n]);
            (key_vectors[n], key_tails[n]) = (&vectors_of_key[..vectors.len()], tail);
        }
        for (i, q) in vectors.iter().enumerate() {
            for n in 0..N {
                let key = E::widen(simd, key_vectors[n][i], half);
                sums[n] = simd.mul_add_e_f32s(*q, key, sums[n]);
            }
        }
        for n in 0..N {
            for (q, k) in query_tail.iter().zip(key_tails[n]) {
                rest[n] += q * k.number(half);
            }
        }
    }
    let mut out = [0.0; N];
    for n in 0..N {
        out[n] = simd.reduce_sum_f32s(sums[n]) + rest[n];
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
fn weighted<S: Simd, E: CacheElement>(simd: S, scores: &[f32], values: &[E], out: &mut [f32]) {
    let size = out.len() / E::NUMBERS;
    for (half, out) in out.chunks_exact_mut(size).enumerate() {
        weighted_half(simd, scores, values, half, out);
    }
}

#[inline(always)]
fn weighted_half<S: Simd, E: CacheElement>(
    simd: S,
    scores: &[f32],
    values: &[E],
    half: usize,
    out: &mut [f32],
) {
    let size = out.len();
    let (vectors, tail) = S::as_mut_simd_f32s(out);
    let mut at = 0;
    macro_rules! strips {
        ($size:expr) => {
            while vectors.len() - at >= $size {
                let mut sums = [simd.splat_f32s(0.0); $size];
                for (score, value) in scores.iter().zip(values.chunks_exact(size)) {
                    let strip = &E::vectors::<S>(value).0[at..at + $size];
                    let score = simd.splat_f32s(*score);
                    for i in 0..$size {
                        sums[i] = simd.mul_add_e_f32s(score, E::widen(simd, strip[i], half), sums[i]);
                    }
                }
                vectors[at..at + $size].copy_from_slice(&sums);
                at += $size;
            }
        };
    }
    strips!(4);
    strips!(1);
    let from = size - tail.len();
    tail.fill(0.0);
    for (score, value) in scores.iter().zip(values.chunks_exact(size)) {
        for (out, value) in tail.iter_mut().zip(&value[from..]) {
            *out += score * value.number(half);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::Bf16Pair;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rounded = || half::bf16::from_f32(random.f32() - 0.5).to_f32();
        (0..count).map(|_| rounded()).collect()
    }

    fn run<E: CacheElement>(head_dim: usize, positions: usize, window: Option<usize>) -> Vec<f32> {
        let pack = |numbers: &[f32]| {
            let heads = numbers.chunks_exact(head_dim).flat_map(|head| {
                let mut elements = vec![E::default(); head_dim / E::NUMBERS];
                E::pack(head, &mut elements);
                elements
            });
            heads.collect::<Vec<E>>()
        };
        let (group, tokens) = (3, 2);
        let (keys, values) = (numbers(positions * head_dim, 1), numbers(positions * head_dim, 2));
        let mut out = vec![0.0; tokens * group * head_dim];
        CachedAttention {
            queries: &numbers(tokens * group * head_dim, 3),
            keys: &pack(&keys),
            values: &pack(&values),
            head_dim,
            group,
            first: positions - tokens,
            sliding_window: window,
            scale: 0.3,
            softcap: None,
            out: &mut out,
            scores: &mut vec![0.0; group * positions],
        }
        .forward();
        out
    }

    /// Halves of heads that are whole vectors, and that are not.
    #[test]
    fn pairs_of_bfloat16_give_what_their_numbers_give() {
        for head_dim in [64, 80, 128, 6] {
            for (positions, window) in [(2, None), (7, None), (40, Some(9))] {
                let pairs = run::<Bf16Pair>(head_dim, positions, window);
                let floats = run::<f32>(head_dim, positions, window);
                let near = pairs.iter().zip(&floats).all(|(a, b)| (a - b).abs() < 1e-5);
                assert!(near, "{head_dim}, {positions}");
                assert!(floats.iter().any(|value| value.abs() > 0.01));
            }
        }
    }
}

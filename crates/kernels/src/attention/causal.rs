//! Causal attention of whole sequences, and its gradient.
//!
//! Scores are never kept: the backward pass computes them again, some queries at a time. So memory grows with the length of a
//! sequence and not with its square.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::activation::exp;
use crate::matmul::{Mat, Out, matmul_serial};
use crate::reduce::{dot, softcap};

/// Queries whose scores are in memory at once.
const QUERIES: usize = 64;

/// Layout of heads, and the changes to scores. Sequences lie one after the other, each token as queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub struct CausalAttention {
    /// Query heads.
    pub num_heads: usize,
    /// Key-value heads; divides `num_heads`.
    pub num_kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Factor on scores.
    pub scale: f32,
    /// Bound on scores, see [`softcap`].
    pub softcap: Option<f32>,
    /// Positions that a query sees, itself included; all when absent.
    pub sliding_window: Option<usize>,
}

/// One head of one sequence.
struct Head<'a> {
    layout: CausalAttention,
    tokens: usize,
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
}

impl<'a> Head<'a> {
    fn new(layout: CausalAttention, qkv: &'a [f32], head: usize) -> Self {
        Self {
            layout,
            tokens: qkv.len() / layout.qkv_size(),
            query: &qkv[head * layout.head_dim..],
            key: &qkv[layout.key(head)..],
            value: &qkv[layout.key(head) + layout.num_kv_heads * layout.head_dim..],
        }
    }

    fn mat(&self, data: &'a [f32], from: usize, to: usize) -> Mat<'a> {
        let row = self.layout.qkv_size();
        Mat::strided(&data[from * row..], to - from, self.layout.head_dim, row)
    }

    /// Returns the first position that any query from `from` on sees.
    fn first(&self, from: usize) -> usize {
        self.layout
            .sliding_window
            .map_or(0, |window| (from + 1).saturating_sub(window))
    }

    /// Returns probabilities of queries `from..to` over the positions `first..to`, and the capped scores if there is a cap.
    fn probabilities(&self, from: usize, to: usize) -> (Vec<f32>, Option<Vec<f32>>) {
        let first = self.first(from);
        let columns = to - first;
        let mut scores = vec![0.0; (to - from) * columns];
        let (query, key) = (self.mat(self.query, from, to), self.mat(self.key, first, to));
        matmul_serial(Out::set(&mut scores, columns), query, key.t(), self.layout.scale);
        if let Some(cap) = self.layout.softcap {
            softcap(&mut scores, cap);
        }
        let capped = self.layout.softcap.map(|_| scores.clone());
        for (query, row) in (from..to).zip(scores.chunks_exact_mut(columns)) {
            softmax(row, self.first(query) - first, query + 1 - first);
        }
        (scores, capped)
    }

    fn forward(&self) -> Vec<f32> {
        let width = self.layout.head_dim;
        let mut out = vec![0.0; self.tokens * width];
        for from in (0..self.tokens).step_by(QUERIES) {
            let to = (from + QUERIES).min(self.tokens);
            let (scores, _) = self.probabilities(from, to);
            let first = self.first(from);
            let values = self.mat(self.value, first, to);
            let target = Out::set(&mut out[from * width..to * width], width);
            matmul_serial(target, Mat::new(&scores, to - from, to - first), values, 1.0);
        }
        out
    }

    /// Returns gradients of queries, keys and values, each `[tokens, head_dim]`. `grad_out` is that of this head's output, in rows
    /// `stride` apart.
    fn backward(&self, grad_out: &[f32], stride: usize) -> [Vec<f32>; 3] {
        let width = self.layout.head_dim;
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; self.tokens * width]);
        for from in (0..self.tokens).step_by(QUERIES) {
            let to = (from + QUERIES).min(self.tokens);
            let first = self.first(from);
            let (rows, columns) = (to - from, to - first);
            let (scores, capped) = self.probabilities(from, to);
            let grad_out = Mat::strided(&grad_out[from * stride..], rows, width, stride);
            matmul_serial(
                Out::add(&mut dv[first * width..], width),
                Mat::new(&scores, rows, columns).t(),
                grad_out,
                1.0,
            );
            let mut grad_scores = vec![0.0; rows * columns];
            matmul_serial(
                Out::set(&mut grad_scores, columns),
                grad_out,
                self.mat(self.value, first, to).t(),
                1.0,
            );
            for (probabilities, row) in scores
                .chunks_exact(columns)
                .zip(grad_scores.chunks_exact_mut(columns))
            {
                softmax_backward(probabilities, row);
            }
            if let (Some(cap), Some(capped)) = (self.layout.softcap, capped) {
                grad_scores
                    .iter_mut()
                    .zip(capped)
                    .for_each(|(d, score)| *d *= 1.0 - (score / cap) * (score / cap));
            }
            let grad_scores = Mat::new(&grad_scores, rows, columns);
            let scale = self.layout.scale;
            matmul_serial(
                Out::set(&mut dq[from * width..], width),
                grad_scores,
                self.mat(self.key, first, to),
                scale,
            );
            matmul_serial(
                Out::add(&mut dk[first * width..], width),
                grad_scores.t(),
                self.mat(self.query, from, to),
                scale,
            );
        }
        [dq, dk, dv]
    }
}

/// Turns the scores from `from` to `to` into probabilities, and others into zero.
fn softmax(row: &mut [f32], from: usize, to: usize) {
    row[..from].fill(0.0);
    row[to..].fill(0.0);
    Arch::new().dispatch(Softmax(&mut row[from..to]));
}

struct Softmax<'a>(&'a mut [f32]);

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut max = [f32::NEG_INFINITY; 16];
        let (chunks, rest) = self.0.as_chunks::<16>();
        for chunk in chunks {
            for (max, score) in max.iter_mut().zip(chunk) {
                *max = max.max(*score);
            }
        }
        let max = max
            .iter()
            .chain(rest)
            .fold(f32::NEG_INFINITY, |max, score| max.max(*score));
        let mut sums = [0.0_f32; 16];
        let (chunks, rest) = self.0.as_chunks_mut::<16>();
        for chunk in chunks {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                *score = exp(*score - max);
                *sum += *score;
            }
        }
        for (sum, score) in sums.iter_mut().zip(rest) {
            *score = exp(*score - max);
            *sum += *score;
        }
        let scale = sums.iter().sum::<f32>().recip();
        self.0.iter_mut().for_each(|score| *score *= scale);
    }
}

/// Replaces the gradients `d` by `p · (d - Σ p d)`.
fn softmax_backward(probabilities: &[f32], row: &mut [f32]) {
    let along = dot(probabilities, row);
    row.iter_mut()
        .zip(probabilities)
        .for_each(|(d, p)| *d = p * (*d - along));
}

impl CausalAttention {
    /// Elements of queries, keys and values of one token.
    #[must_use]
    pub fn qkv_size(self) -> usize {
        (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
    }

    /// Offset of the keys of a query head.
    fn key(self, head: usize) -> usize {
        (self.num_heads + head / (self.num_heads / self.num_kv_heads)) * self.head_dim
    }

    /// Returns first token, length and head for all heads of all sequences.
    fn jobs(self, seq_lengths: &[usize]) -> Vec<(usize, usize, usize)> {
        let mut first = 0;
        let mut jobs = Vec::with_capacity(seq_lengths.len() * self.num_heads);
        for length in seq_lengths {
            jobs.extend((0..self.num_heads).map(|head| (first, *length, head)));
            first += length;
        }
        jobs
    }

    /// Returns attention's output: `num_heads · head_dim` elements a token.
    #[must_use]
    pub fn forward(self, seq_lengths: &[usize], qkv: &[f32]) -> Vec<f32> {
        let jobs = self.jobs(seq_lengths);
        let row = self.qkv_size();
        let job = |(first, length, head): &(usize, usize, usize)| {
            Head::new(self, &qkv[first * row..(first + length) * row], *head).forward()
        };
        let outs: Vec<Vec<f32>> = jobs.par_iter().map(job).collect();
        let (width, stride) = (self.head_dim, self.num_heads * self.head_dim);
        let mut all = vec![0.0; qkv.len() / row * stride];
        for ((first, _, head), out) in jobs.iter().zip(outs) {
            scatter(
                &mut all[first * stride + head * width..],
                &out,
                width,
                stride,
                false,
            );
        }
        all
    }

    /// Returns the gradient of `qkv`, given that of the output.
    #[must_use]
    pub fn backward(self, seq_lengths: &[usize], qkv: &[f32], grad_out: &[f32]) -> Vec<f32> {
        let jobs = self.jobs(seq_lengths);
        let (row, stride, width) = (self.qkv_size(), self.num_heads * self.head_dim, self.head_dim);
        let job = |(first, length, head): &(usize, usize, usize)| {
            let own = Head::new(self, &qkv[first * row..(first + length) * row], *head);
            own.backward(&grad_out[first * stride + head * width..], stride)
        };
        let all: Vec<[Vec<f32>; 3]> = jobs.par_iter().map(job).collect();
        let mut grad_qkv = vec![0.0; qkv.len()];
        for ((first, _, head), [dq, dk, dv]) in jobs.iter().zip(all) {
            let own = &mut grad_qkv[first * row..];
            let key = self.key(*head);
            scatter(&mut own[head * width..], &dq, width, row, false);
            scatter(&mut own[key..], &dk, width, row, true);
            scatter(&mut own[key + self.num_kv_heads * width..], &dv, width, row, true);
        }
        grad_qkv
    }
}

/// Copies or adds rows of `width` elements to rows that begin `stride` apart.
fn scatter(to: &mut [f32], from: &[f32], width: usize, stride: usize, add: bool) {
    for (to, from) in to.chunks_mut(stride).zip(from.chunks_exact(width)) {
        if add {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        } else {
            to[..width].copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn gradients_are_slopes_with_windows_caps_and_several_sequences() {
        let plain = CausalAttention {
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 3,
            scale: 0.7,
            softcap: None,
            sliding_window: None,
        };
        let windowed = CausalAttention {
            sliding_window: Some(3),
            softcap: Some(2.0),
            ..plain
        };
        for heads in [plain, windowed] {
            let lengths = [5, 70];
            let mut random = Random::new(&[1]);
            let qkv: Vec<f32> = (0..75 * heads.qkv_size())
                .map(|_| random.normal() as f32)
                .collect();
            let grad_out: Vec<f32> = (0..75 * 12).map(|_| random.normal() as f32).collect();
            let gradient = heads.backward(&lengths, &qkv, &grad_out);
            let f = |qkv: &[f32]| -> f64 {
                let out = heads.forward(&lengths, qkv);
                out.iter()
                    .zip(&grad_out)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            };
            for i in (0..qkv.len()).step_by(41) {
                let mut moved = qkv.clone();
                moved[i] = qkv[i] + 1e-2;
                let above = f(&moved);
                moved[i] = qkv[i] - 1e-2;
                let slope = (above - f(&moved)) / 2e-2;
                assert!(
                    (slope - f64::from(gradient[i])).abs() < 1e-2 * slope.abs().max(1.0),
                    "{i}"
                );
            }
        }
    }

    #[test]
    fn a_query_sees_no_later_tokens_and_no_other_sequences() {
        let heads = CausalAttention {
            num_heads: 1,
            num_kv_heads: 1,
            head_dim: 2,
            scale: 1.0,
            softcap: None,
            sliding_window: None,
        };
        let qkv: Vec<f32> = (0..6 * heads.qkv_size()).map(|i| (i % 7) as f32).collect();
        let all = heads.forward(&[2, 4], &qkv);
        let mut other = qkv;
        other[5 * heads.qkv_size()..].fill(9.0);
        other[..2 * heads.qkv_size()].fill(-3.0);
        let changed = heads.forward(&[2, 4], &other);
        assert_eq!(all[2 * 2..5 * 2], changed[2 * 2..5 * 2]);
        assert_ne!(all[10..], changed[10..]);
    }
}

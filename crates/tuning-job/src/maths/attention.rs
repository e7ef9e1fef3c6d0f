//! Causal attention of whole sequences, and its derivative.
//!
//! Scores are never kept: the derivative computes them again, some queries at a time, so that memory grows with the length of a
//! sequence and not with its square.

use model::exp;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::elementwise::dot;
use super::matmul::{Mat, Out, product_here};

/// Queries whose scores are in memory at once.
const QUERIES: usize = 64;

/// How heads are laid out and what is done to scores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    /// Width of a head.
    pub(crate) width: usize,
    pub(crate) scale: f32,
    /// Scores are bent to ± this by tanh.
    pub(crate) softcap: Option<f32>,
    /// How many positions back a query sees, itself included.
    pub(crate) window: Option<usize>,
}

impl Heads {
    /// Elements of queries, keys and values of one token.
    pub(crate) fn row(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.width
    }

    fn key(self, head: usize) -> usize {
        (self.heads + head / (self.heads / self.kv_heads)) * self.width
    }
}

/// One head of one sequence.
struct Head<'a> {
    heads: Heads,
    tokens: usize,
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
}

impl<'a> Head<'a> {
    fn new(heads: Heads, qkv: &'a [f32], head: usize) -> Self {
        Self {
            heads,
            tokens: qkv.len() / heads.row(),
            query: &qkv[head * heads.width..],
            key: &qkv[heads.key(head)..],
            value: &qkv[heads.key(head) + heads.kv_heads * heads.width..],
        }
    }

    fn mat(&self, data: &'a [f32], from: usize, to: usize) -> Mat<'a> {
        let row = self.heads.row();
        Mat::strided(&data[from * row..], to - from, self.heads.width, row)
    }

    /// First position that any query from `from` on sees.
    fn first(&self, from: usize) -> usize {
        self.heads
            .window
            .map_or(0, |window| (from + 1).saturating_sub(window))
    }

    /// Probabilities of queries `from..to` over the positions `first..to`, and the bent scores if they are.
    fn probabilities(&self, from: usize, to: usize) -> (Vec<f32>, Option<Vec<f32>>) {
        let first = self.first(from);
        let columns = to - first;
        let mut scores = vec![0.0; (to - from) * columns];
        let (query, key) = (self.mat(self.query, from, to), self.mat(self.key, first, to));
        product_here(Out::set(&mut scores, columns), query, key.t(), self.heads.scale);
        if let Some(cap) = self.heads.softcap {
            scores
                .iter_mut()
                .for_each(|score| *score = cap * (*score / cap).tanh());
        }
        let bent = self.heads.softcap.map(|_| scores.clone());
        for (query, row) in (from..to).zip(scores.chunks_exact_mut(columns)) {
            softmax(row, self.first(query) - first, query + 1 - first);
        }
        (scores, bent)
    }

    fn forward(&self) -> Vec<f32> {
        let width = self.heads.width;
        let mut out = vec![0.0; self.tokens * width];
        for from in (0..self.tokens).step_by(QUERIES) {
            let to = (from + QUERIES).min(self.tokens);
            let (scores, _) = self.probabilities(from, to);
            let first = self.first(from);
            let values = self.mat(self.value, first, to);
            let target = Out::set(&mut out[from * width..to * width], width);
            product_here(target, Mat::new(&scores, to - from, to - first), values, 1.0);
        }
        out
    }

    /// Derivatives of queries, keys and values, each `[tokens, width]`. `dout` is that of this head's output, in rows `stride` apart.
    fn backward(&self, dout: &[f32], stride: usize) -> [Vec<f32>; 3] {
        let width = self.heads.width;
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; self.tokens * width]);
        for from in (0..self.tokens).step_by(QUERIES) {
            let to = (from + QUERIES).min(self.tokens);
            let first = self.first(from);
            let (rows, columns) = (to - from, to - first);
            let (scores, bent) = self.probabilities(from, to);
            let dout = Mat::strided(&dout[from * stride..], rows, width, stride);
            product_here(
                Out::add(&mut dv[first * width..], width),
                Mat::new(&scores, rows, columns).t(),
                dout,
                1.0,
            );
            let mut dscores = vec![0.0; rows * columns];
            product_here(
                Out::set(&mut dscores, columns),
                dout,
                self.mat(self.value, first, to).t(),
                1.0,
            );
            for (probabilities, row) in scores
                .chunks_exact(columns)
                .zip(dscores.chunks_exact_mut(columns))
            {
                softmax_backward(probabilities, row);
            }
            if let (Some(cap), Some(bent)) = (self.heads.softcap, bent) {
                dscores
                    .iter_mut()
                    .zip(bent)
                    .for_each(|(d, score)| *d *= 1.0 - (score / cap) * (score / cap));
            }
            let dscores = Mat::new(&dscores, rows, columns);
            let scale = self.heads.scale;
            product_here(
                Out::set(&mut dq[from * width..], width),
                dscores,
                self.mat(self.key, first, to),
                scale,
            );
            product_here(
                Out::add(&mut dk[first * width..], width),
                dscores.t(),
                self.mat(self.query, from, to),
                scale,
            );
        }
        [dq, dk, dv]
    }
}

/// Probabilities within `seen`, zero elsewhere.
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
        let mut most = [f32::NEG_INFINITY; 16];
        let (chunks, rest) = self.0.as_chunks::<16>();
        for chunk in chunks {
            for (most, score) in most.iter_mut().zip(chunk) {
                *most = most.max(*score);
            }
        }
        let most = most
            .iter()
            .chain(rest)
            .fold(f32::NEG_INFINITY, |most, score| most.max(*score));
        let mut sums = [0.0_f32; 16];
        let (chunks, rest) = self.0.as_chunks_mut::<16>();
        for chunk in chunks {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                *score = exp(*score - most);
                *sum += *score;
            }
        }
        for (sum, score) in sums.iter_mut().zip(rest) {
            *score = exp(*score - most);
            *sum += *score;
        }
        let scale = sums.iter().sum::<f32>().recip();
        self.0.iter_mut().for_each(|score| *score *= scale);
    }
}

/// `p · (d - Σ p d)`, over `d`.
fn softmax_backward(probabilities: &[f32], row: &mut [f32]) {
    let along = dot(probabilities, row);
    row.iter_mut()
        .zip(probabilities)
        .for_each(|(d, p)| *d = p * (*d - along));
}

/// Jobs of all heads of all sequences; `lengths` are numbers of tokens.
fn jobs(heads: Heads, lengths: &[usize]) -> Vec<(usize, usize, usize)> {
    let mut first = 0;
    let mut jobs = Vec::with_capacity(lengths.len() * heads.heads);
    for length in lengths {
        jobs.extend((0..heads.heads).map(|head| (first, *length, head)));
        first += length;
    }
    jobs
}

/// Attention of sequences that lie one after the other in `qkv`.
pub(crate) fn attend(heads: Heads, lengths: &[usize], qkv: &[f32]) -> Vec<f32> {
    let jobs = jobs(heads, lengths);
    let row = heads.row();
    let job = |(first, length, head): &(usize, usize, usize)| {
        Head::new(heads, &qkv[first * row..(first + length) * row], *head).forward()
    };
    let outs: Vec<Vec<f32>> = jobs.par_iter().map(job).collect();
    let stride = heads.heads * heads.width;
    let mut all = vec![0.0; qkv.len() / row * stride];
    for ((first, _, head), out) in jobs.iter().zip(outs) {
        place(
            &mut all[first * stride + head * heads.width..],
            &out,
            heads.width,
            stride,
            false,
        );
    }
    all
}

/// Derivative of `qkv` from that of the attention's output.
pub(crate) fn attend_backward(heads: Heads, lengths: &[usize], qkv: &[f32], dout: &[f32]) -> Vec<f32> {
    let jobs = jobs(heads, lengths);
    let (row, stride) = (heads.row(), heads.heads * heads.width);
    let job = |(first, length, head): &(usize, usize, usize)| {
        let own = Head::new(heads, &qkv[first * row..(first + length) * row], *head);
        own.backward(&dout[first * stride + head * heads.width..], stride)
    };
    let all: Vec<[Vec<f32>; 3]> = jobs.par_iter().map(job).collect();
    let mut dqkv = vec![0.0; qkv.len()];
    for ((first, _, head), [dq, dk, dv]) in jobs.iter().zip(all) {
        let own = &mut dqkv[first * row..];
        let key = heads.key(*head);
        place(&mut own[head * heads.width..], &dq, heads.width, row, false);
        place(&mut own[key..], &dk, heads.width, row, true);
        place(
            &mut own[key + heads.kv_heads * heads.width..],
            &dv,
            heads.width,
            row,
            true,
        );
    }
    dqkv
}

/// Copies or adds rows of `width` to rows that begin `stride` apart.
fn place(to: &mut [f32], from: &[f32], width: usize, stride: usize, add: bool) {
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
    use crate::maths::random::Random;

    #[test]
    fn derivatives_are_slopes_with_windows_caps_and_several_sequences() {
        let plain = Heads {
            heads: 4,
            kv_heads: 2,
            width: 3,
            scale: 0.7,
            softcap: None,
            window: None,
        };
        let windowed = Heads {
            window: Some(3),
            softcap: Some(2.0),
            ..plain
        };
        for heads in [plain, windowed] {
            let lengths = [5, 70];
            let mut random = Random::new(&[1]);
            let qkv: Vec<f32> = (0..75 * heads.row()).map(|_| random.normal() as f32).collect();
            let dout: Vec<f32> = (0..75 * 12).map(|_| random.normal() as f32).collect();
            let derivative = attend_backward(heads, &lengths, &qkv, &dout);
            let f = |qkv: &[f32]| -> f64 {
                let out = attend(heads, &lengths, qkv);
                out.iter()
                    .zip(&dout)
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
                    (slope - f64::from(derivative[i])).abs() < 1e-2 * slope.abs().max(1.0),
                    "{i}"
                );
            }
        }
    }

    #[test]
    fn a_query_sees_nothing_of_what_follows_or_of_other_sequences() {
        let heads = Heads {
            heads: 1,
            kv_heads: 1,
            width: 2,
            scale: 1.0,
            softcap: None,
            window: None,
        };
        let qkv: Vec<f32> = (0..6 * heads.row()).map(|i| (i % 7) as f32).collect();
        let all = attend(heads, &[2, 4], &qkv);
        let mut other = qkv;
        other[5 * heads.row()..].fill(9.0);
        other[..2 * heads.row()].fill(-3.0);
        let changed = attend(heads, &[2, 4], &other);
        assert_eq!(all[2 * 2..5 * 2], changed[2 * 2..5 * 2]);
        assert_ne!(all[10..], changed[10..]);
    }
}

//! The loss of next tokens, and what it passes back.
//!
//! Logits of a whole batch are the largest thing of a training step: 50 000 floats a token. They are made, used and dropped
//! some tokens at a time.

use model::exp;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::matmul::{Mat, Out};

/// Bytes of logits in memory at once.
const BYTES: usize = 32 << 20;

/// The output embeddings, and what is done to logits.
pub(crate) struct Head<'a> {
    /// Writes `x · Eᵀ`.
    pub(crate) logits: &'a (dyn Fn(Out<'_>, Mat<'_>) + Sync),
    /// Writes `dlogits · E` of so many tokens.
    pub(crate) back: &'a (dyn Fn(Out<'_>, &[f32], usize) + Sync),
    pub(crate) vocabulary: usize,
    pub(crate) width: usize,
    pub(crate) scale: f32,
    pub(crate) softcap: Option<f32>,
}

impl std::fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head")
            .field("vocabulary", &self.vocabulary)
            .finish_non_exhaustive()
    }
}

impl Head<'_> {
    /// Tokens whose logits are in memory at once.
    pub(crate) fn tokens_at_once(vocabulary: usize) -> usize {
        (BYTES / 4 / vocabulary.max(1)).clamp(1, 512)
    }

    /// Sum of the losses of tokens `x`, one target each. With `dx` also its derivative, times `factor`.
    pub(crate) fn loss(&self, x: &[f32], targets: &[u32], mut dx: Option<&mut [f32]>, factor: f32) -> f64 {
        let at_once = Self::tokens_at_once(self.vocabulary);
        let mut sum = 0.0;
        for (index, targets) in targets.chunks(at_once).enumerate() {
            let range = index * at_once * self.width..(index * at_once + targets.len()) * self.width;
            let x = Mat::new(&x[range.clone()], targets.len(), self.width);
            let mut logits = vec![0.0; targets.len() * self.vocabulary];
            (self.logits)(Out::set(&mut logits, self.vocabulary), x);
            let rows = logits.par_chunks_mut(self.vocabulary).zip(targets);
            let losses: Vec<f64> = rows
                .map(|(row, target)| self.row(row, *target as usize, factor))
                .collect();
            sum += losses.iter().sum::<f64>();
            if let Some(dx) = dx.as_deref_mut() {
                (self.back)(Out::set(&mut dx[range], self.width), &logits, targets.len());
            }
        }
        sum
    }

    /// The loss of one token; its logits become their derivative.
    fn row(&self, logits: &mut [f32], target: usize, factor: f32) -> f64 {
        let bent = |logit: f32| match self.softcap {
            Some(cap) => cap * (logit * self.scale / cap).tanh(),
            None => logit * self.scale,
        };
        if self.softcap.is_some() || self.scale.to_bits() != 1.0_f32.to_bits() {
            logits.iter_mut().for_each(|logit| *logit = bent(*logit));
        }
        let most = logits
            .iter()
            .fold(f32::NEG_INFINITY, |most, logit| most.max(*logit));
        let own = logits[target];
        let capped = self.softcap.map(|cap| (cap, logits.to_vec()));
        let sum = Arch::new().dispatch(Exponentials {
            logits: &mut *logits,
            most,
        });
        let share = factor / sum;
        logits.iter_mut().for_each(|logit| *logit *= share);
        logits[target] -= factor;
        let scale = self.scale;
        match capped {
            Some((cap, bent)) => {
                let pairs = logits.iter_mut().zip(bent);
                pairs.for_each(|(d, bent)| *d *= scale * (1.0 - (bent / cap) * (bent / cap)));
            }
            None if scale.to_bits() != 1.0_f32.to_bits() => logits.iter_mut().for_each(|d| *d *= scale),
            None => {}
        }
        f64::from(sum.ln()) + f64::from(most) - f64::from(own)
    }
}

/// Replaces logits by `e^(logit - most)` and returns their sum.
struct Exponentials<'a> {
    logits: &'a mut [f32],
    most: f32,
}

impl WithSimd for Exponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let mut sums = [0.0_f32; 16];
        let (chunks, rest) = self.logits.as_chunks_mut::<16>();
        for chunk in chunks {
            for (sum, logit) in sums.iter_mut().zip(chunk) {
                *logit = exp(*logit - self.most);
                *sum += *logit;
            }
        }
        let mut sum = sums.iter().sum::<f32>();
        for logit in rest {
            *logit = exp(*logit - self.most);
            sum += *logit;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maths::matmul::{Arithmetic, product_of_lines};
    use crate::maths::random::Random;

    #[test]
    fn the_loss_is_its_formula_and_its_derivative_a_slope() {
        let (vocabulary, width, tokens) = (19, 5, 7);
        let mut random = Random::new(&[3]);
        let e: Vec<f32> = (0..vocabulary * width).map(|_| random.normal() as f32).collect();
        let x: Vec<f32> = (0..tokens * width).map(|_| random.normal() as f32).collect();
        let targets: Vec<u32> = (0..tokens as u32).map(|i| i * 2).collect();
        for softcap in [None, Some(1.5)] {
            let head = Head {
                logits: &|out, x| {
                    let e = Mat::new(&e, vocabulary, width);
                    product_of_lines(out, x.lines(), e.lines(), Arithmetic::Singles);
                },
                back: &|out, d, n| {
                    let (d, e) = (Mat::new(d, n, vocabulary), Mat::new(&e, vocabulary, width).t());
                    product_of_lines(out, d.lines(), e.lines(), Arithmetic::Singles);
                },
                vocabulary,
                width,
                scale: 0.5,
                softcap,
            };
            let mut dx = vec![0.0; x.len()];
            let loss = head.loss(&x, &targets, Some(&mut dx), 1.0);
            let expected: f64 = targets
                .iter()
                .zip(x.chunks(width))
                .map(|(target, x)| {
                    let logit = |row: &[f32]| {
                        let plain = 0.5 * row.iter().zip(x).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                        softcap.map_or(plain, |cap: f32| f64::from(cap) * (plain / f64::from(cap)).tanh())
                    };
                    let all: Vec<f64> = e.chunks(width).map(logit).collect();
                    all.iter().map(|logit| logit.exp()).sum::<f64>().ln() - all[*target as usize]
                })
                .sum();
            assert!((loss - expected).abs() < 1e-4, "{loss} {expected}");
            for i in 0..x.len() {
                let mut moved = x.clone();
                moved[i] += 1e-2;
                let above = head.loss(&moved, &targets, None, 1.0);
                moved[i] -= 2e-2;
                let slope = (above - head.loss(&moved, &targets, None, 1.0)) / 2e-2;
                assert!((slope - f64::from(dx[i])).abs() < 2e-3, "{i}: {slope} {}", dx[i]);
            }
        }
    }
}

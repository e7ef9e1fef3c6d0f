//! The loss of next tokens and its gradient.
//!
//! Logits of a whole batch are the largest thing of a training step: 50 000 floats a token. They are computed, used and
//! dropped some tokens at a time.

use pulp::Arch;
use rayon::prelude::*;

use crate::matmul::{Mat, Out};
use crate::reduce::{ExpSum, softcap};

/// Bytes of logits in memory at once.
const BYTES: usize = 32 << 20;

/// The output projection, and the changes to its logits before the softmax.
pub struct CrossEntropy<'a> {
    /// Writes `x · Wᵀ`.
    pub forward: &'a (dyn Fn(Out<'_>, Mat<'_>) + Sync),
    /// Writes `grad_logits · W` of so many tokens.
    pub backward: &'a (dyn Fn(Out<'_>, &[f32], usize) + Sync),
    /// Logits of a token.
    pub vocab_size: usize,
    /// Elements of a hidden state.
    pub hidden_size: usize,
    /// Factor on logits.
    pub scale: f32,
    /// Bound on logits, see [`softcap`].
    pub softcap: Option<f32>,
}

impl std::fmt::Debug for CrossEntropy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrossEntropy")
            .field("vocab_size", &self.vocab_size)
            .finish_non_exhaustive()
    }
}

impl CrossEntropy<'_> {
    /// Returns the sum of the losses of tokens `x`, one target each. With `grad_x` it also writes the gradient, times
    /// `grad_scale`.
    #[must_use]
    pub fn loss(&self, x: &[f32], targets: &[u32], mut grad_x: Option<&mut [f32]>, grad_scale: f32) -> f64 {
        let at_once = (BYTES / 4 / self.vocab_size.max(1)).clamp(1, 512);
        let mut sum = 0.0;
        for (index, targets) in targets.chunks(at_once).enumerate() {
            let first = index * at_once;
            let range = first * self.hidden_size..(first + targets.len()) * self.hidden_size;
            let x = Mat::new(&x[range.clone()], targets.len(), self.hidden_size);
            let mut logits = vec![0.0; targets.len() * self.vocab_size];
            (self.forward)(Out::set(&mut logits, self.vocab_size), x);
            let rows = logits.par_chunks_mut(self.vocab_size).zip(targets);
            let losses: Vec<f64> = rows
                .map(|(row, target)| self.row(row, *target as usize, grad_scale))
                .collect();
            sum += losses.iter().sum::<f64>();
            if let Some(grad_x) = grad_x.as_deref_mut() {
                (self.backward)(
                    Out::set(&mut grad_x[range], self.hidden_size),
                    &logits,
                    targets.len(),
                );
            }
        }
        sum
    }

    /// Returns the loss of one token and replaces its logits by their gradient.
    fn row(&self, logits: &mut [f32], target: usize, grad_scale: f32) -> f64 {
        let scale = self.scale;
        let is_scaled = scale.to_bits() != 1.0_f32.to_bits();
        if is_scaled {
            logits.iter_mut().for_each(|logit| *logit *= scale);
        }
        let capped = self.softcap.map(|cap| {
            softcap(logits, cap);
            (cap, logits.to_vec())
        });
        let max = logits
            .iter()
            .fold(f32::NEG_INFINITY, |max, logit| max.max(*logit));
        let own = logits[target];
        let sum = Arch::new().dispatch(ExpSum {
            values: &mut *logits,
            max,
        });
        let share = grad_scale / sum;
        logits.iter_mut().for_each(|logit| *logit *= share);
        logits[target] -= grad_scale;
        match capped {
            Some((cap, capped)) => {
                let pairs = logits.iter_mut().zip(capped);
                pairs.for_each(|(grad, capped)| *grad *= scale * (1.0 - (capped / cap) * (capped / cap)));
            }
            None if is_scaled => logits.iter_mut().for_each(|grad| *grad *= scale),
            None => {}
        }
        f64::from(sum.ln()) + f64::from(max) - f64::from(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::{ComputeDtype, matmul};
    use crate::random::tests::normal;

    #[test]
    fn the_loss_matches_its_formula_and_its_gradient_is_a_slope() {
        let (vocab_size, hidden_size, tokens) = (19, 5, 7);
        let all = normal((vocab_size + tokens) * hidden_size, 3);
        let (weight, x) = all.split_at(vocab_size * hidden_size);
        let targets: Vec<u32> = (0..tokens as u32).map(|i| i * 2).collect();
        for softcap in [None, Some(1.5)] {
            let head = CrossEntropy {
                forward: &|out, x| {
                    let weight = Mat::new(weight, vocab_size, hidden_size);
                    matmul(out, x.lines(), weight.lines(), ComputeDtype::F32);
                },
                backward: &|out, grad, tokens| {
                    let grad = Mat::new(grad, tokens, vocab_size);
                    let weight = Mat::new(weight, vocab_size, hidden_size).t();
                    matmul(out, grad.lines(), weight.lines(), ComputeDtype::F32);
                },
                vocab_size,
                hidden_size,
                scale: 0.5,
                softcap,
            };
            let mut grad_x = vec![0.0; x.len()];
            let loss = head.loss(x, &targets, Some(&mut grad_x), 1.0);
            let expected: f64 = targets
                .iter()
                .zip(x.chunks(hidden_size))
                .map(|(target, x)| {
                    let logit = |row: &[f32]| {
                        let plain = 0.5 * row.iter().zip(x).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                        softcap.map_or(plain, |cap: f32| f64::from(cap) * (plain / f64::from(cap)).tanh())
                    };
                    let all: Vec<f64> = weight.chunks(hidden_size).map(logit).collect();
                    all.iter().map(|logit| logit.exp()).sum::<f64>().ln() - all[*target as usize]
                })
                .sum();
            assert!((loss - expected).abs() < 1e-4, "{loss} {expected}");
            for i in 0..x.len() {
                let mut moved = x.to_vec();
                moved[i] += 1e-2;
                let above = head.loss(&moved, &targets, None, 1.0);
                moved[i] -= 2e-2;
                let slope = (above - head.loss(&moved, &targets, None, 1.0)) / 2e-2;
                assert!(
                    (slope - f64::from(grad_x[i])).abs() < 2e-3,
                    "{i}: {slope} {}",
                    grad_x[i]
                );
            }
        }
    }
}

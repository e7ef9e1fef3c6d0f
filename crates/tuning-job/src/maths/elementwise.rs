//! What is done to one token's activations alone, and its derivatives.
//!
//! What is to become vector code is a type with [`WithSimd`]: of a closure the compiler may make a function of its own, which then
//! has none of the processor's vectors.

use model::config::Activation;
use model::exp;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Tokens a thread takes at once.
const TOKENS: usize = 16;

/// Root-mean-square norm of each token: `x · weight / √(mean(x²) + epsilon)`.
pub(crate) fn norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    let width = weight.len();
    out.par_chunks_mut(TOKENS * width)
        .zip(x.par_chunks(TOKENS * width))
        .for_each(|(out, x)| {
            for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                norm_row(x, weight, epsilon, out);
            }
        });
    out
}

/// One token's norm.
pub(crate) fn norm_row(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = (dot(x, x) / x.len() as f32 + epsilon).sqrt().recip();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

/// Adds to `dx` what the norm of `x` passes on of `dy`: with `s = 1/√(mean(x²) + epsilon)` and `g = weight · dy` that is
/// `s · g - x · s³ · (g · x) / n`.
pub(crate) fn norm_backward(x: &[f32], weight: &[f32], epsilon: f32, dy: &[f32], dx: &mut [f32]) {
    let width = weight.len();
    let chunks = dx
        .par_chunks_mut(TOKENS * width)
        .zip(x.par_chunks(TOKENS * width))
        .zip(dy.par_chunks(TOKENS * width));
    chunks.for_each(|((dx, x), dy)| {
        for ((dx, x), dy) in dx
            .chunks_exact_mut(width)
            .zip(x.chunks_exact(width))
            .zip(dy.chunks_exact(width))
        {
            norm_row_backward(x, weight, epsilon, dy, dx);
        }
    });
}

pub(crate) fn norm_row_backward(x: &[f32], weight: &[f32], epsilon: f32, dy: &[f32], dx: &mut [f32]) {
    let n = x.len() as f32;
    let scale = (dot(x, x) / n + epsilon).sqrt().recip();
    let weighted: Vec<f32> = weight.iter().zip(dy).map(|(weight, dy)| weight * dy).collect();
    let along = dot(x, &weighted);
    let back = scale * scale * scale * along / n;
    for ((dx, x), weighted) in dx.iter_mut().zip(x).zip(weighted) {
        *dx += scale * weighted - x * back;
    }
}

/// Sum of products, in sixteen lanes.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Turns the first `2 · cos.len()` elements of a head: element `i` with element `i + cos.len()`.
pub(crate) fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (low, rest) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in low.iter_mut().zip(rest).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

/// Turns a derivative back.
pub(crate) fn rotate_back(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (low, rest) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in low.iter_mut().zip(rest).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos + *b * sin, *b * cos - *a * sin);
    }
}

/// `activation(gate) · up` of each token; gate and up lie one after the other in `both`.
pub(crate) fn gated(activation: Activation, both: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; both.len() / 2];
    out.par_chunks_mut(TOKENS * width)
        .zip(both.par_chunks(TOKENS * 2 * width))
        .for_each(|(out, both)| {
            for (out, both) in out.chunks_exact_mut(width).zip(both.chunks_exact(2 * width)) {
                let (gate, up) = both.split_at(width);
                model::gated(activation, gate, up, out);
            }
        });
    out
}

/// Derivatives of gate and up, written over `both`.
pub(crate) fn gated_backward(activation: Activation, both: &mut [f32], width: usize, dout: &[f32]) {
    both.par_chunks_mut(TOKENS * 2 * width)
        .zip(dout.par_chunks(TOKENS * width))
        .for_each(|(both, dout)| {
            for (both, dout) in both.chunks_exact_mut(2 * width).zip(dout.chunks_exact(width)) {
                let (gate, up) = both.split_at_mut(width);
                Arch::new().dispatch(GatedBackward {
                    activation,
                    gate,
                    up,
                    dout,
                });
            }
        });
}

struct GatedBackward<'a> {
    activation: Activation,
    gate: &'a mut [f32],
    up: &'a mut [f32],
    dout: &'a [f32],
}

impl WithSimd for GatedBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let all = self.gate.iter_mut().zip(self.up).zip(self.dout);
        let write = |gate: &mut f32, up: &mut f32, dout: &f32, (bent, slope): (f32, f32)| {
            (*gate, *up) = (slope * *up * dout, bent * dout);
        };
        match self.activation {
            Activation::Silu => all.for_each(|((gate, up), dout)| write(gate, up, dout, silu(*gate))),
            Activation::GeluTanh => all.for_each(|((gate, up), dout)| write(gate, up, dout, gelu(*gate))),
        }
    }
}

/// `x · sigmoid(x)` and its derivative.
#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let sigmoid = 1.0 / (1.0 + exp(-x));
    (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid)))
}

/// GELU's tanh approximation and its derivative.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    const ROOT: f32 = 0.797_884_6; // √(2/π)
    let y = ROOT * (x + 0.044_715 * x * x * x);
    let tanh = 1.0 - 2.0 / (exp(2.0 * y) + 1.0);
    let inner = ROOT * (1.0 + 3.0 * 0.044_715 * x * x);
    (
        0.5 * x * (1.0 + tanh),
        0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: u64) -> Vec<f32> {
        let mut random = crate::maths::random::Random::new(&[seed]);
        (0..count).map(|_| random.normal() as f32).collect()
    }

    /// Compares a derivative with the slope of `f` along each element.
    fn check(x: &[f32], derivative: &[f32], f: impl Fn(&[f32]) -> f64) {
        for i in 0..x.len() {
            let mut moved = x.to_vec();
            moved[i] = x[i] + 1e-2;
            let above = f(&moved);
            moved[i] = x[i] - 1e-2;
            let slope = (above - f(&moved)) / 2e-2;
            assert!(
                (slope - f64::from(derivative[i])).abs() < 5e-3 * slope.abs().max(1.0),
                "{i}: {slope} {}",
                derivative[i]
            );
        }
    }

    fn weighted(values: &[f32], weights: &[f32]) -> f64 {
        values
            .iter()
            .zip(weights)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    }

    #[test]
    fn derivatives_are_slopes() {
        let (x, weight, dy) = (values(40, 1), values(20, 2), values(40, 3));
        let mut dx = vec![0.0; 40];
        norm_backward(&x, &weight, 1e-5, &dy, &mut dx);
        check(&x, &dx, |x| weighted(&norm(x, &weight, 1e-5), &dy));
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let (both, dout) = (values(24, 4), values(12, 5));
            let mut derivative = both.clone();
            gated_backward(activation, &mut derivative, 6, &dout);
            check(&both, &derivative, |both| {
                weighted(&gated(activation, both, 6), &dout)
            });
        }
    }

    #[test]
    fn turning_back_undoes_a_turn() {
        let head = values(9, 6);
        let (cos, sin) = ([0.6, 0.0, 1.0], [0.8, 1.0, 0.0]);
        let mut turned = head.clone();
        rotate(&mut turned, &cos, &sin);
        rotate_back(&mut turned, &cos, &sin);
        assert!(head.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

//! Gated activations and their gradients.
//!
//! Code that must become vector code is a type with [`WithSimd`]. The compiler may turn a closure into a function of its own,
//! which then lacks the processor's vectors.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Tokens that a thread takes at once: fewer than elsewhere, because exponentials take long.
const TOKENS: usize = 8;

/// Non-linearity of the gated feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// GELU in its tanh approximation.
    GeluTanh,
}

/// Returns `activation(gate) · up` for each token; a token has `width` gates in `gate_up` and then as many ups.
#[must_use]
pub fn gated_activation(activation: Activation, gate_up: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; gate_up.len() / 2];
    out.par_chunks_mut(TOKENS * width)
        .zip(gate_up.par_chunks(TOKENS * 2 * width))
        .for_each(|(out, gate_up)| {
            for (out, gate_up) in out.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
                let (gate, up) = gate_up.split_at(width);
                Arch::new().dispatch(Gated {
                    activation,
                    gate,
                    up,
                    out,
                });
            }
        });
    out
}

struct Gated<'a> {
    activation: Activation,
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let all = self.out.iter_mut().zip(self.gate).zip(self.up);
        match self.activation {
            Activation::Silu => all.for_each(|((out, gate), up)| *out = gate / (1.0 + exp(-gate)) * up),
            Activation::GeluTanh => all.for_each(|((out, gate), up)| *out = gelu(*gate) * up),
        }
    }
}

/// Replaces the gates and ups in `gate_up` by their gradients, given the gradient of [`gated_activation`]'s result.
pub fn gated_activation_backward(
    activation: Activation,
    gate_up: &mut [f32],
    width: usize,
    grad_out: &[f32],
) {
    gate_up
        .par_chunks_mut(TOKENS * 2 * width)
        .zip(grad_out.par_chunks(TOKENS * width))
        .for_each(|(gate_up, grad_out)| {
            let tokens = gate_up
                .chunks_exact_mut(2 * width)
                .zip(grad_out.chunks_exact(width));
            for (gate_up, grad_out) in tokens {
                let (gate, up) = gate_up.split_at_mut(width);
                Arch::new().dispatch(GatedBackward {
                    activation,
                    gate,
                    up,
                    grad_out,
                });
            }
        });
}

struct GatedBackward<'a> {
    activation: Activation,
    gate: &'a mut [f32],
    up: &'a mut [f32],
    grad_out: &'a [f32],
}

impl WithSimd for GatedBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let all = self.gate.iter_mut().zip(self.up).zip(self.grad_out);
        let write = |gate: &mut f32, up: &mut f32, grad: &f32, (value, slope): (f32, f32)| {
            (*gate, *up) = (slope * *up * grad, value * grad);
        };
        match self.activation {
            Activation::Silu => {
                all.for_each(|((gate, up), grad)| write(gate, up, grad, silu_with_slope(*gate)));
            }
            Activation::GeluTanh => {
                all.for_each(|((gate, up), grad)| write(gate, up, grad, gelu_with_slope(*gate)));
            }
        }
    }
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// GELU's tanh approximation, by `tanh(y) = 1 - 2 / (exp(2y) + 1)`.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let y = SQRT_2_OVER_PI * (x + CUBIC * x * x * x);
    0.5 * x * (2.0 - 2.0 / (exp(2.0 * y) + 1.0))
}

/// `x · sigmoid(x)` and its derivative.
#[inline(always)]
fn silu_with_slope(x: f32) -> (f32, f32) {
    let sigmoid = 1.0 / (1.0 + exp(-x));
    (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid)))
}

/// [`gelu`] and its derivative. The value rounds differently than there, because the derivative needs the tanh itself.
#[inline(always)]
fn gelu_with_slope(x: f32) -> (f32, f32) {
    let y = SQRT_2_OVER_PI * (x + CUBIC * x * x * x);
    let tanh = 1.0 - 2.0 / (exp(2.0 * y) + 1.0);
    let inner = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
    (
        0.5 * x * (1.0 + tanh),
        0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner,
    )
}

/// `e^x` without branches, so that loops over it become vector code. The relative error is below 3e-7; the ends of what f32
/// holds become zero and infinity.
///
/// Splits `x = n·ln 2 + r` and takes the Taylor series of `e^r` to the sixth power, |r| ≤ ½ ln 2.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    // Rounds to the nearest whole number, which is then in the lowest bits.
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let r = x - n * HIGH - n * LOW;
    let series =
        1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r / 720.0)))));
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    series * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::tests::{check_gradient, normal, weighted};

    #[test]
    fn exp_matches_the_standard_library() {
        for step in -8700..8800 {
            let x = step as f32 / 100.0;
            let relative = (exp(x) / x.exp() - 1.0).abs();
            assert!(relative < 3e-7, "{x}: {relative}");
        }
    }

    #[test]
    fn gelu_matches_its_formula() {
        for step in -60..60 {
            let x = step as f32 / 10.0;
            let y = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            assert!((gelu(x) - 0.5 * x * (1.0 + y.tanh())).abs() < 1e-5, "{x}");
        }
    }

    #[test]
    fn gradients_are_slopes() {
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let (gate_up, grad_out) = (normal(24, 4), normal(12, 5));
            let mut gradient = gate_up.clone();
            gated_activation_backward(activation, &mut gradient, 6, &grad_out);
            check_gradient(&gate_up, &gradient, |gate_up| {
                weighted(&gated_activation(activation, gate_up, 6), &grad_out)
            });
        }
    }
}

//! Everything that is done to one token's activations alone.
//!
//! What is to become vector code is a type with [`WithSimd`]: of a closure the compiler may make a function of its own, which then
//! has none of the processor's vectors.

use pulp::{Simd, WithSimd};

use crate::config::Activation;

/// Root-mean-square norm, in place: `x · weight / √(mean(x²) + epsilon)`.
pub(crate) fn rms_norm(x: &mut [f32], weight: &[f32], epsilon: f32) {
    super::arch().dispatch(Norm { x, weight, epsilon });
}

struct Norm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    epsilon: f32,
}

impl WithSimd for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, weight, epsilon } = self;
        let mut squares = [0.0_f32; 16];
        let (chunks, rest) = x.as_chunks::<16>();
        for chunk in chunks {
            for (square, value) in squares.iter_mut().zip(chunk) {
                *square += value * value;
            }
        }
        let sum = squares.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>();
        let scale = (sum / x.len() as f32 + epsilon).sqrt().recip();
        for (value, weight) in x.iter_mut().zip(weight) {
            *value = *value * scale * weight;
        }
    }
}

/// Turns the first `2 · cos.len()` elements of a head: element `i` with element `i + cos.len()`.
pub(crate) fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let pairs = cos.len();
    let (low, rest) = head.split_at_mut(pairs);
    for (((a, b), cos), sin) in low.iter_mut().zip(&mut rest[..pairs]).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

/// `activation(gate) · up` into `out`, as far as the shortest of them goes.
pub fn gated(activation: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
    super::arch().dispatch(Gated {
        activation,
        gate,
        up,
        out,
    });
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

/// GELU's tanh approximation, by `tanh(y) = 1 - 2 / (exp(2y) + 1)`.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6; // √(2/π)
    let y = ROOT * (x + 0.044_715 * x * x * x);
    0.5 * x * (2.0 - 2.0 / (exp(2.0 * y) + 1.0))
}

/// Bends values to ±`cap`: `cap · tanh(x / cap)`.
pub(crate) fn softcap(values: &mut [f32], cap: f32) {
    for value in values {
        *value = cap * (*value / cap).tanh();
    }
}

/// `e^x` without branches, so that loops over it become vector code; relative error below 3e-7, zero and infinity are
/// reached at the ends of what f32 holds.
///
/// Splits `x = n·ln 2 + r` and takes the Taylor series of `e^r` to the sixth power, |r| ≤ ½ ln 2.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
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

    #[test]
    fn exp_is_that_of_the_library() {
        for step in -8700..8800 {
            let x = step as f32 / 100.0;
            let relative = (exp(x) / x.exp() - 1.0).abs();
            assert!(relative < 3e-7, "{x}: {relative}");
        }
    }

    #[test]
    fn a_norm_gives_a_mean_square_of_one() {
        let mut x: Vec<f32> = (0..37).map(|i| i as f32 - 7.5).collect();
        rms_norm(&mut x, &[1.0; 37], 0.0);
        let mean = x.iter().map(|value| value * value).sum::<f32>() / 37.0;
        assert!((mean - 1.0).abs() < 1e-5, "{mean}");
    }

    #[test]
    fn a_turn_keeps_the_length() {
        let mut head = [3.0, 1.0, 4.0, 2.0, 9.0];
        rotate(&mut head, &[0.6, 0.0], &[0.8, 1.0]);
        let expected = [3.0 * 0.6 - 4.0 * 0.8, -2.0, 4.0 * 0.6 + 3.0 * 0.8, 1.0, 9.0];
        assert!(
            head.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{head:?}"
        );
    }

    #[test]
    fn gelu_is_its_formula() {
        for step in -60..60 {
            let x = step as f32 / 10.0;
            let y = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            assert!((gelu(x) - 0.5 * x * (1.0 + y.tanh())).abs() < 1e-5, "{x}");
        }
    }
}

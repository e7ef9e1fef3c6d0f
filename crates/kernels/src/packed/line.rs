//! The line on which the 4-bit weights of a block lie: `weight = minimum + integer · scale`, with integers from 0 to 15.

use half::bf16;
use pulp::{Arch, NullaryFnOnce};

/// The largest integer.
const LARGEST: f32 = 15.0;
/// Shares of the range of the weights that are tried. A smaller range cuts the outermost weights off and has finer steps. A larger
/// one finds the line of weights that were rounded before, and of which none is the largest.
const RANGES: [f32; 8] = [
    1.0,
    0.93,
    0.86,
    0.79,
    LARGEST / 14.0,
    LARGEST / 13.0,
    LARGEST / 12.0,
    LARGEST / 11.0,
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) scale: bf16,
    pub(crate) minimum: bf16,
}

impl Line {
    /// Returns the line with the smallest squared error among those that are tried.
    pub(crate) fn of(weights: &[f32]) -> Self {
        Arch::new().dispatch(Search(weights))
    }

    /// Rounds weights to integers.
    #[inline(always)]
    pub(crate) fn integers(self, weights: &[f32], out: &mut [u8]) {
        let (scale, minimum) = (self.scale.to_f32(), self.minimum.to_f32());
        for (out, weight) in out.iter_mut().zip(weights) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 15, and 0 where it is not a number"
            )]
            let integer = nearest(*weight, minimum, inverse(scale)) as u8;
            *out = integer;
        }
    }

    /// The weight of an integer.
    #[inline(always)]
    pub(crate) fn weight(self, integer: u8) -> f32 {
        f32::from(integer).mul_add(self.scale.to_f32(), self.minimum.to_f32())
    }
}

#[inline(always)]
fn inverse(scale: f32) -> f32 {
    let inverse = scale.recip();
    // A scale of zero, or nearly.
    if inverse.is_finite() { inverse } else { 0.0 }
}

#[inline(always)]
fn nearest(weight: f32, minimum: f32, inverse: f32) -> f32 {
    ((weight - minimum) * inverse)
        .round_ties_even()
        .clamp(0.0, LARGEST)
}

struct Search<'a>(&'a [f32]);

impl NullaryFnOnce for Search<'_> {
    type Output = Line;

    #[inline(always)]
    fn call(self) -> Line {
        let weights = self.0;
        let low = weights
            .iter()
            .fold(f32::INFINITY, |low, w| if *w < low { *w } else { low });
        let high = weights
            .iter()
            .fold(f32::NEG_INFINITY, |high, w| if *w > high { *w } else { high });
        // Halves, because the range of large weights is no number.
        let (center, half) = (low * 0.5 + high * 0.5, high * 0.5 - low * 0.5);
        let mut best = Line {
            scale: bf16::ZERO,
            minimum: rounded(center),
        };
        let mut least = error(weights, best);
        for range in RANGES {
            let scale = half * range * (2.0 / LARGEST);
            let start = if range > 1.0 { low } else { center - half * range };
            let line = fitted(weights, start, scale);
            let found = error(weights, line);
            if found < least {
                (best, least) = (line, found);
            }
        }
        best
    }
}

/// Returns the line with the smallest squared error for the integers that another line gives.
#[inline(always)]
fn fitted(weights: &[f32], minimum: f32, scale: f32) -> Line {
    let (mut q, mut qq, mut w, mut qw) = (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
    let inverse = inverse(scale);
    for weight in weights {
        let integer = nearest(*weight, minimum, inverse);
        q += integer;
        qq += integer * integer;
        w += weight;
        qw += integer * weight;
    }
    let count = weights.len() as f32;
    let slope = (count * qw - q * w) / (count * qq - q * q);
    let start = (w - slope * q) / count;
    let (scale, minimum) = if slope.is_finite() && start.is_finite() {
        (slope, start)
    } else {
        (scale, minimum)
    };
    Line {
        scale: rounded(scale),
        minimum: rounded(minimum),
    }
}

/// Rounds to 16 bits, and never to infinity.
#[inline(always)]
fn rounded(value: f32) -> bf16 {
    bf16::from_f32(value.clamp(-bf16::MAX.to_f32(), bf16::MAX.to_f32()))
}

/// Returns the sum of squared errors.
#[inline(always)]
fn error(weights: &[f32], line: Line) -> f32 {
    let (scale, minimum) = (line.scale.to_f32(), line.minimum.to_f32());
    let inverse = inverse(scale);
    let errors = weights.iter().map(|weight| {
        let error = nearest(*weight, minimum, inverse) * scale + minimum - weight;
        error * error
    });
    errors.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squared_error(weights: &[f32], line: Line) -> f32 {
        error(weights, line) / weights.iter().map(|weight| weight * weight).sum::<f32>()
    }

    #[test]
    fn weights_that_were_rounded_before_keep_their_line() {
        for most in 11..=15_u8 {
            let weights: Vec<f32> = (0..32_u8)
                .map(|at| f32::from(at % (most + 1)) * 0.25 - 1.5)
                .collect();
            let error = squared_error(&weights, Line::of(&weights));
            assert!(error < 1e-12, "{most}: {error}");
        }
    }

    #[test]
    fn the_search_is_better_than_the_whole_range() {
        let mut random = fastrand::Rng::with_seed(3);
        // The sum of some even numbers is nearly normal, as weights of models are.
        let mut normal = || (0..6).map(|_| random.f32() - 0.5).sum::<f32>();
        let (mut found, mut plain) = (0.0, 0.0);
        for _ in 0..200 {
            let weights: Vec<f32> = (0..32).map(|_| normal()).collect();
            let low = weights.iter().copied().fold(f32::INFINITY, f32::min);
            let high = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let whole = Line {
                scale: rounded((high - low) / LARGEST),
                minimum: rounded(low),
            };
            found += squared_error(&weights, Line::of(&weights));
            plain += squared_error(&weights, whole);
        }
        assert!(found < 0.9 * plain, "{found} {plain}");
    }
}

//! Sums in sixteen lanes, and the functions that soften scores.

use pulp::{Simd, WithSimd};

use crate::activation::exp;

/// Sum of products.
#[inline(always)]
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

/// Replaces values by `e^(value - max)` and returns their sum.
#[inline(always)]
pub(crate) fn exp_sum(values: &mut [f32], max: f32) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (chunks, rest) = values.as_chunks_mut::<16>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *value = exp(*value - max);
            *sum += *value;
        }
    }
    let mut sum = sums.iter().sum::<f32>();
    for value in rest {
        *value = exp(*value - max);
        sum += *value;
    }
    sum
}

/// [`exp_sum`] as a function of its own.
pub(crate) struct ExpSum<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) max: f32,
}

impl WithSimd for ExpSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        exp_sum(self.values, self.max)
    }
}

/// Bounds values to ±`cap`: `cap · tanh(x / cap)`.
pub fn softcap(values: &mut [f32], cap: f32) {
    for value in values {
        *value = cap * (*value / cap).tanh();
    }
}

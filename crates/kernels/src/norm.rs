//! Root-mean-square norms and their gradients: `x · weight / √(mean(x²) + eps)`.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::TOKENS_PER_TASK;
use crate::reduce::dot;

/// Returns the norm of each token.
#[must_use]
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let mut out = x.to_vec();
    let width = weight.len();
    out.par_chunks_mut(TOKENS_PER_TASK * width).for_each(|rows| {
        rows.chunks_exact_mut(width)
            .for_each(|row| rms_norm_row(row, weight, eps));
    });
    out
}

/// Replaces one row by its norm.
pub fn rms_norm_row(row: &mut [f32], weight: &[f32], eps: f32) {
    Arch::new().dispatch(Norm { row, weight, eps });
}

struct Norm<'a> {
    row: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
}

impl WithSimd for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let scale = inverse_rms(self.row, self.eps);
        for (value, weight) in self.row.iter_mut().zip(self.weight) {
            *value = *value * scale * weight;
        }
    }
}

/// `1 / √(mean(x²) + eps)`.
#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    (dot(x, x) / x.len() as f32 + eps).sqrt().recip()
}

/// Adds the gradient of `x` to `grad_x`, given the gradient of [`rms_norm`]'s result.
pub fn rms_norm_backward(x: &[f32], weight: &[f32], eps: f32, grad_out: &[f32], grad_x: &mut [f32]) {
    let width = weight.len();
    let chunks = grad_x
        .par_chunks_mut(TOKENS_PER_TASK * width)
        .zip(x.par_chunks(TOKENS_PER_TASK * width))
        .zip(grad_out.par_chunks(TOKENS_PER_TASK * width));
    chunks.for_each(|((grad_x, x), grad_out)| {
        for ((grad_x, x), grad_out) in grad_x
            .chunks_exact_mut(width)
            .zip(x.chunks_exact(width))
            .zip(grad_out.chunks_exact(width))
        {
            rms_norm_row_backward(x, weight, eps, grad_out, grad_x);
        }
    });
}

/// [`rms_norm_backward`] of one row.
///
/// With `s = 1/√(mean(x²) + eps)` and `g = weight · grad_out` it adds `s · g - x · s³ · (g · x) / n`.
pub fn rms_norm_row_backward(x: &[f32], weight: &[f32], eps: f32, grad_out: &[f32], grad_x: &mut [f32]) {
    let n = x.len() as f32;
    let scale = inverse_rms(x, eps);
    let weighted: Vec<f32> = weight
        .iter()
        .zip(grad_out)
        .map(|(weight, grad)| weight * grad)
        .collect();
    let along = dot(x, &weighted);
    let back = scale * scale * scale * along / n;
    for ((grad_x, x), weighted) in grad_x.iter_mut().zip(x).zip(weighted) {
        *grad_x += scale * weighted - x * back;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::tests::{check_gradient, normal, weighted};

    #[test]
    fn a_norm_gives_a_mean_square_of_one() {
        let mut x: Vec<f32> = (0..37).map(|i| i as f32 - 7.5).collect();
        rms_norm_row(&mut x, &[1.0; 37], 0.0);
        let mean = x.iter().map(|value| value * value).sum::<f32>() / 37.0;
        assert!((mean - 1.0).abs() < 1e-5, "{mean}");
    }

    #[test]
    fn gradients_are_slopes() {
        let (x, weight, grad_out) = (normal(40, 1), normal(20, 2), normal(40, 3));
        let mut grad_x = vec![0.0; 40];
        rms_norm_backward(&x, &weight, 1e-5, &grad_out, &mut grad_x);
        check_gradient(&x, &grad_x, |x| weighted(&rms_norm(x, &weight, 1e-5), &grad_out));
    }
}

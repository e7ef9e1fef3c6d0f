//! AdamW (Loshchilov and Hutter, 2019), as torch computes it.

/// Settings of the optimizer, with the names of `torch.optim.AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the mean.
    pub beta1: f64,
    /// Decay of the mean of squares.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub eps: f64,
    /// Decay of parameters in a step, times the learning rate.
    pub weight_decay: f64,
    /// Largest norm of a gradient; 0 for no limit.
    pub max_grad_norm: f64,
}

/// State of the optimizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdamMoments {
    /// Means of gradients.
    pub exp_avg: Vec<f32>,
    /// Means of squared gradients.
    pub exp_avg_sq: Vec<f32>,
}

impl AdamMoments {
    /// The state before the first step.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            exp_avg: vec![0.0; count],
            exp_avg_sq: vec![0.0; count],
        }
    }
}

impl AdamW {
    /// Updates parameters. `step` counts from 1 on. Returns the norm of the gradient before it was clipped.
    pub fn step(
        &self,
        params: &mut [f32],
        gradient: &[f32],
        moments: &mut AdamMoments,
        step: u64,
        rate: f64,
    ) -> f64 {
        let norm = gradient
            .iter()
            .map(|g| f64::from(*g) * f64::from(*g))
            .sum::<f64>()
            .sqrt();
        let clip = if self.max_grad_norm > 0.0 {
            (self.max_grad_norm / (norm + 1e-6)).min(1.0) as f32
        } else {
            1.0
        };
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - self.beta1.powi(exponent);
        let correction2 = (1.0 - self.beta2.powi(exponent)).sqrt();
        let (step_size, decay) = (
            (rate / correction1) as f32,
            (1.0 - rate * self.weight_decay) as f32,
        );
        let (beta1, beta2) = (self.beta1 as f32, self.beta2 as f32);
        let (rest1, rest2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let (root, eps) = (correction2 as f32, self.eps as f32);
        let both = moments.exp_avg.iter_mut().zip(&mut moments.exp_avg_sq);
        for ((param, grad), (first, second)) in params.iter_mut().zip(gradient).zip(both) {
            let grad = grad * clip;
            *first = *first * beta1 + grad * rest1;
            *second = *second * beta2 + grad * grad * rest2;
            *param = *param * decay - step_size * *first / (second.sqrt() / root + eps);
        }
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `torch.optim.AdamW([1.0, -2.0], lr=0.1, weight_decay=0.01)` with gradients `[0.5, -1.0]` and then `[0.1, 0.3]`.
    #[test]
    fn steps_match_torch() {
        let adam = AdamW {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: 0.0,
        };
        let (mut values, mut moments) = ([1.0, -2.0], AdamMoments::new(2));
        adam.step(&mut values, &[0.5, -1.0], &mut moments, 1, 0.1);
        assert!(
            (values[0] - 0.899).abs() < 1e-6 && (values[1] + 1.898).abs() < 1e-6,
            "{values:?}"
        );
        adam.step(&mut values, &[0.1, 0.3], &mut moments, 2, 0.1);
        // m = 0.055, v = 2.5974e-4 → 0.28947 / 0.36050; m = -0.06, v = 1.08899e-3 → -0.31579 / 0.73808.
        assert!(
            (values[0] - 0.817_80).abs() < 1e-4 && (values[1] + 1.853_32).abs() < 1e-4,
            "{values:?}"
        );
    }

    #[test]
    fn long_gradients_are_clipped() {
        let adam = AdamW {
            beta1: 0.0,
            beta2: 0.0,
            eps: 1.0,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
        };
        let (mut values, mut moments) = ([0.0, 0.0], AdamMoments::new(2));
        let norm = adam.step(&mut values, &[30.0, 40.0], &mut moments, 1, 1.0);
        assert!((norm - 50.0).abs() < 1e-6);
        assert!((moments.exp_avg[0] - 0.6).abs() < 1e-5 && (moments.exp_avg[1] - 0.8).abs() < 1e-5);
    }
}

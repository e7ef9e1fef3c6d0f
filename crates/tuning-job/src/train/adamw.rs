//! AdamW (Loshchilov and Hutter, 2019), as torch computes it.

/// Settings of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Share of the old mean that is kept.
    pub beta1: f64,
    /// Share of the old mean of squares that is kept.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub epsilon: f64,
    /// Share of a value that is taken off in a step, times the learning rate.
    pub weight_decay: f64,
    /// Longest derivative; 0 when any length will do.
    pub max_norm: f64,
}

/// Means of derivatives and of their squares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Means.
    pub first: Vec<f32>,
    /// Means of squares.
    pub second: Vec<f32>,
}

impl Moments {
    /// Before the first step.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            first: vec![0.0; count],
            second: vec![0.0; count],
        }
    }
}

impl AdamW {
    /// Moves values against their derivatives. `step` counts from 1 on. Returns the derivative's length before it was shortened.
    pub fn step(
        &self,
        values: &mut [f32],
        grads: &[f32],
        moments: &mut Moments,
        step: u64,
        rate: f64,
    ) -> f64 {
        let norm = grads
            .iter()
            .map(|g| f64::from(*g) * f64::from(*g))
            .sum::<f64>()
            .sqrt();
        let shorten = if self.max_norm > 0.0 {
            (self.max_norm / (norm + 1e-6)).min(1.0) as f32
        } else {
            1.0
        };
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - self.beta1.powi(exponent);
        let correction2 = (1.0 - self.beta2.powi(exponent)).sqrt();
        let (move_by, decay) = (
            (rate / correction1) as f32,
            (1.0 - rate * self.weight_decay) as f32,
        );
        let (beta1, beta2) = (self.beta1 as f32, self.beta2 as f32);
        let (rest1, rest2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let (root, epsilon) = (correction2 as f32, self.epsilon as f32);
        let both = moments.first.iter_mut().zip(&mut moments.second);
        for ((value, grad), (first, second)) in values.iter_mut().zip(grads).zip(both) {
            let grad = grad * shorten;
            *first = *first * beta1 + grad * rest1;
            *second = *second * beta2 + grad * grad * rest2;
            *value = *value * decay - move_by * *first / (second.sqrt() / root + epsilon);
        }
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `torch.optim.AdamW([1.0, -2.0], lr=0.1, weight_decay=0.01)` with derivatives `[0.5, -1.0]` and then `[0.1, 0.3]`.
    #[test]
    fn steps_are_those_of_torch() {
        let adam = AdamW {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_norm: 0.0,
        };
        let (mut values, mut moments) = ([1.0, -2.0], Moments::new(2));
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
    fn long_derivatives_are_shortened() {
        let adam = AdamW {
            beta1: 0.0,
            beta2: 0.0,
            epsilon: 1.0,
            weight_decay: 0.0,
            max_norm: 1.0,
        };
        let (mut values, mut moments) = ([0.0, 0.0], Moments::new(2));
        let norm = adam.step(&mut values, &[30.0, 40.0], &mut moments, 1, 1.0);
        assert!((norm - 50.0).abs() < 1e-6);
        assert!((moments.first[0] - 0.6).abs() < 1e-5 && (moments.first[1] - 0.8).abs() < 1e-5);
    }
}

//! Random numbers as a function of a seed and a place. A checkpoint has nothing to save, and threads cannot reorder them.
//!
//! The mixing is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).

use std::f64::consts::TAU;

/// A position in a stream of numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Returns the stream of these keys; their meaning is the caller's.
    #[must_use]
    pub fn new(keys: &[u64]) -> Self {
        let state = keys
            .iter()
            .fold(0x9e37_79b9_7f4a_7c15, |state, key| mix(state ^ mix(*key)));
        Self { state }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Returns a number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number from 0 to below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Returns a number of the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }

    /// Puts items in a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn normal(count: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::new(&[seed]);
        (0..count).map(|_| random.normal() as f32).collect()
    }

    /// Compares a gradient with the slope of `f` along each element.
    pub(crate) fn check_gradient(x: &[f32], gradient: &[f32], f: impl Fn(&[f32]) -> f64) {
        for i in 0..x.len() {
            let mut moved = x.to_vec();
            moved[i] = x[i] + 1e-2;
            let above = f(&moved);
            moved[i] = x[i] - 1e-2;
            let slope = (above - f(&moved)) / 2e-2;
            assert!(
                (slope - f64::from(gradient[i])).abs() < 5e-3 * slope.abs().max(1.0),
                "{i}: {slope} {}",
                gradient[i]
            );
        }
    }

    pub(crate) fn weighted(values: &[f32], weights: &[f32]) -> f64 {
        values
            .iter()
            .zip(weights)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    }

    #[test]
    fn streams_are_repeatable_and_differ_by_every_key() {
        let first = |keys: &[u64]| Random::new(keys).next();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1, 2]), first(&[1, 3]));
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut random = Random::new(&[7]);
        let normal: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 20_000.0;
        let square = normal.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (square - 1.0).abs() < 0.05,
            "{mean} {square}"
        );
        let mut items: Vec<usize> = (0..100).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}

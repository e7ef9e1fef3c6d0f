//! Mean pooling: the embedding of a text is the mean of its hidden states, scaled to length 1.
//!
//! Pure. Sums are 64-bit and in the order of the tokens, so the split of a text into steps does not change the result.

/// Sum of the hidden states so far.
#[derive(Clone, Debug)]
pub(crate) struct MeanPooling {
    sum: Vec<f64>,
}

impl MeanPooling {
    /// Creates the sum for states of `hidden_size` numbers.
    pub(crate) fn new(hidden_size: usize) -> Self {
        Self {
            sum: vec![0.0; hidden_size],
        }
    }

    /// Adds the states of the next tokens, concatenated.
    pub(crate) fn add(&mut self, states: &[f32]) {
        for state in states.chunks_exact(self.sum.len().max(1)) {
            for (sum, value) in self.sum.iter_mut().zip(state) {
                *sum += f64::from(*value);
            }
        }
    }

    /// Returns the embedding. The scale to length 1 makes a division by the number of tokens unnecessary; zeros stay zeros.
    pub(crate) fn embedding(&self) -> Vec<f32> {
        let length = self.sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        let scale = if length > 0.0 { length.recip() } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "between -1 and 1")]
        let embedding = self.sum.iter().map(|value| (value * scale) as f32).collect();
        embedding
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_embedding_is_the_mean_with_length_one() {
        let mut mean = MeanPooling::new(2);
        mean.add(&[1.0, 2.0, 5.0, 6.0]);
        assert_eq!(mean.embedding(), [0.6, 0.8]);
        assert_eq!(MeanPooling::new(3).embedding(), [0.0; 3]);
    }

    proptest! {
        #[test]
        fn the_split_into_steps_does_not_matter(states in prop::collection::vec(-100.0_f32..100.0, 12), cut in 0_usize..=4) {
            let (mut whole, mut pieces) = (MeanPooling::new(3), MeanPooling::new(3));
            whole.add(&states);
            let (first, second) = states.split_at(cut * 3);
            pieces.add(first);
            pieces.add(second);
            prop_assert_eq!(whole.embedding(), pieces.embedding());
            let length: f32 = whole.embedding().iter().map(|value| value * value).sum();
            prop_assert!((length - 1.0).abs() < 1e-5 || length == 0.0);
        }
    }
}

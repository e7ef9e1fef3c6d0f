//! From the hidden states of a text to one vector: their mean, with length 1.
//!
//! Pure. Sums are 64-bit and in the order of the tokens, so that it does not matter in which pieces a text was computed.

/// States added so far.
#[derive(Clone, Debug)]
pub(crate) struct Mean {
    sum: Vec<f64>,
}

impl Mean {
    /// For states of `width` numbers.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            sum: vec![0.0; width],
        }
    }

    /// Adds the states of some tokens, one after the other.
    pub(crate) fn add(&mut self, states: &[f32]) {
        for state in states.chunks_exact(self.sum.len().max(1)) {
            for (sum, value) in self.sum.iter_mut().zip(state) {
                *sum += f64::from(*value);
            }
        }
    }

    /// The vector. The number of tokens does not matter, for its length is made 1; nothing but zeros stays so.
    pub(crate) fn vector(&self) -> Vec<f32> {
        let length = self.sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        let scale = if length > 0.0 { length.recip() } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "between -1 and 1")]
        let vector = self.sum.iter().map(|value| (value * scale) as f32).collect();
        vector
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_the_mean_with_length_one() {
        let mut mean = Mean::new(2);
        mean.add(&[1.0, 2.0, 5.0, 6.0]);
        assert_eq!(mean.vector(), [0.6, 0.8]);
        assert_eq!(Mean::new(3).vector(), [0.0; 3]);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(states in prop::collection::vec(-100.0_f32..100.0, 12), cut in 0_usize..=4) {
            let (mut whole, mut pieces) = (Mean::new(3), Mean::new(3));
            whole.add(&states);
            let (head, tail) = states.split_at(cut * 3);
            pieces.add(head);
            pieces.add(tail);
            prop_assert_eq!(whole.vector(), pieces.vector());
            let length: f32 = whole.vector().iter().map(|value| value * value).sum();
            prop_assert!((length - 1.0).abs() < 1e-5 || length == 0.0);
        }
    }
}

//! Linear modules and the precision of their weights.

use kernels::packed::{Format, PackedWeights};

use crate::cache::CacheFormat;
use crate::config::Spec;

/// Precision of weights in memory; see [`Format`] for the precision of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// The file's precision: bfloat16, else 32-bit floats.
    Auto,
    /// 32-bit floats: exact.
    F32,
    /// Upper halves of 32-bit floats: weights of files in bfloat16 stay the same.
    Bf16,
    /// 8-bit integers with a scale for each 32 weights, and activations rounded the same way before each product: about 0.5 %
    /// error of each operand.
    Q8,
    /// 4-bit integers with a scale and a minimum for each 32 weights, and activations as beside [`Self::Q8`]. Embeddings and the
    /// output projection have 8 bits: what they round away cannot be made up for by other layers.
    Q4,
}

impl Precision {
    /// Returns room for a matrix that files hold in 32 bits (`wide`) or fewer.
    pub(crate) fn zeros(self, wide: bool, outputs: usize, inputs: usize) -> PackedWeights {
        let format = match (self, wide) {
            (Self::F32, _) | (Self::Auto, true) => Format::F32,
            (Self::Bf16, _) | (Self::Auto, false) => Format::Bf16,
            (Self::Q8, _) => Format::Int8,
            (Self::Q4, _) => Format::Int4,
        };
        PackedWeights::zeros(format, outputs, inputs)
    }

    /// Precision of embeddings and of the output projection.
    pub(crate) fn of_vocabulary(self) -> Self {
        match self {
            Self::Q4 => Self::Q8,
            other => other,
        }
    }

    /// Format of the cache beside weights that files hold in 32 bits (`wide`) or fewer.
    #[must_use]
    pub fn cache_format(self, wide: bool) -> CacheFormat {
        match (self, wide) {
            (Self::F32, _) | (Self::Auto, true) => CacheFormat::F32,
            (Self::Auto, false) | (Self::Bf16 | Self::Q8 | Self::Q4, _) => CacheFormat::Bf16,
        }
    }

    /// Bytes that the weights of a model take in memory, of which `stored` are in files.
    #[must_use]
    pub fn weight_bytes(self, spec: &Spec, stored: u64) -> u64 {
        let all = spec.num_parameters();
        match self {
            Self::Auto => stored,
            Self::F32 => all * 4,
            Self::Bf16 => all * 2,
            Self::Q8 => all * 17 / 16,
            Self::Q4 => {
                let matrices = if spec.tie_word_embeddings { 1 } else { 2 };
                let vocabulary = (matrices * spec.vocab_size * spec.hidden_size) as u64;
                vocabulary * 17 / 16 + all.saturating_sub(vocabulary) * 5 / 8
            }
        }
    }
}

/// `y = W x (+ b)`.
#[derive(Debug)]
pub(crate) struct Linear {
    weights: PackedWeights,
    bias: Option<Vec<f32>>,
}

impl Linear {
    pub(crate) fn new(weights: PackedWeights, bias: Option<Vec<f32>>) -> Self {
        Self { weights, bias }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.weights.outputs()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.weights.bytes() + self.bias.as_ref().map_or(0, |bias| bias.len() * 4)
    }

    /// Writes one row, an embedding, as 32-bit floats to `out`.
    pub(crate) fn copy_row(&self, row: usize, out: &mut [f32]) {
        self.weights.read(row, out);
    }

    /// Applies the module to tokens that follow each other.
    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut out = self.weights.apply(x);
        if let Some(bias) = &self.bias {
            for token in out.chunks_exact_mut(bias.len()) {
                token.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| random.f32() - 0.5).collect()
    }

    fn linear(precision: Precision, inputs: usize, outputs: usize) -> Linear {
        let mut weights = precision.zeros(true, outputs, inputs);
        weights.write(0, &numbers(inputs * outputs, 1));
        Linear::new(weights, Some(numbers(outputs, 2)))
    }

    fn naive(inputs: usize, outputs: usize, x: &[f32]) -> Vec<f32> {
        let (weights, bias) = (numbers(inputs * outputs, 1), numbers(outputs, 2));
        let row = |x: &[f32], row: usize| -> f32 {
            weights[row * inputs..][..inputs]
                .iter()
                .zip(x)
                .map(|(w, x)| w * x)
                .sum::<f32>()
                + bias[row]
        };
        x.chunks(inputs)
            .flat_map(|x| (0..outputs).map(|r| row(x, r)).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn every_size_and_precision_matches_the_plain_product() {
        for (inputs, outputs) in [(1, 1), (7, 5), (64, 130), (33, 67), (100, 3)] {
            for tokens in [1, 2, 3, 5, 7, 13, 97, 200] {
                let x = numbers(inputs * tokens, 3);
                let expected = naive(inputs, outputs, &x);
                for (precision, tolerance) in [
                    (Precision::F32, 1e-5),
                    (Precision::Bf16, 2e-2),
                    (Precision::Q8, 3e-2),
                    (Precision::Q4, 4e-1),
                ] {
                    let found = linear(precision, inputs, outputs).apply(&x);
                    let worst = found
                        .iter()
                        .zip(&expected)
                        .map(|(a, b)| (a - b).abs())
                        .fold(0.0, f32::max);
                    assert!(worst < tolerance, "{inputs}×{outputs}, {tokens} tokens: {worst}");
                }
            }
        }
    }

    #[test]
    fn a_token_gets_the_same_bits_alone_and_in_company() {
        for precision in [Precision::F32, Precision::Bf16, Precision::Q8, Precision::Q4] {
            let map = linear(precision, 100, 70);
            let x = numbers(100 * 150, 4);
            let alone: Vec<f32> = x.chunks(100).flat_map(|x| map.apply(x)).collect();
            for tokens in [2, 5, 31, 150] {
                assert_eq!(map.apply(&x[..100 * tokens]), alone[..70 * tokens]);
            }
        }
    }
}

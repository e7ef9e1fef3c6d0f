//! Frozen weights in several precisions.
//!
//! Short forms are widened while they are copied for a product, each time again: a widened copy would cost the memory they save.

use half::{bf16, f16};

use super::quantize::{QuantType, QuantizedWeights};
use kernels::matmul::{ComputeDtype, Mat, Operand, Out, RowSource, matmul};

/// Precision of weights in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// Upper halves of 32-bit floats.
    Bf16,
    /// 16-bit floats.
    F16,
    /// Four bits.
    Quantized {
        /// The table of values.
        quant_type: QuantType,
        /// Scales have eight bits.
        double_quant: bool,
    },
}

impl Precision {
    /// Bytes of a weight.
    #[must_use]
    pub fn bytes(self) -> f64 {
        match self {
            Self::F32 => 4.0,
            Self::Bf16 | Self::F16 => 2.0,
            Self::Quantized {
                double_quant: false, ..
            } => 0.5 + 4.0 / 64.0,
            Self::Quantized {
                double_quant: true, ..
            } => 0.5 + 1.0 / 64.0 + 4.0 / (64.0 * 256.0),
        }
    }
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
    F16(Vec<u16>),
    Quantized(QuantizedWeights),
}

/// A matrix `[outputs, inputs]`.
#[derive(Debug)]
pub(crate) struct FrozenWeight {
    values: Values,
    outputs: usize,
    inputs: usize,
    compute_dtype: ComputeDtype,
}

impl FrozenWeight {
    /// Converts weights to `precision`. `quantized_dtype` is the compute type of quantized ones; bfloat16 ones have their own.
    pub(crate) fn new(
        values: Vec<f32>,
        inputs: usize,
        precision: Precision,
        quantized_dtype: ComputeDtype,
    ) -> Self {
        let compute_dtype = match precision {
            Precision::F32 | Precision::F16 => ComputeDtype::F32,
            Precision::Bf16 => ComputeDtype::Bf16,
            Precision::Quantized { .. } => quantized_dtype,
        };
        let outputs = values.len() / inputs.max(1);
        let values = match precision {
            Precision::F32 => Values::F32(values),
            Precision::Bf16 => Values::Bf16(
                values
                    .iter()
                    .map(|value| bf16::from_f32(*value).to_bits())
                    .collect(),
            ),
            Precision::F16 => Values::F16(
                values
                    .iter()
                    .map(|value| f16::from_f32(*value).to_bits())
                    .collect(),
            ),
            Precision::Quantized {
                quant_type,
                double_quant,
            } => Values::Quantized(QuantizedWeights::new(&values, quant_type, double_quant)),
        };
        Self {
            values,
            outputs,
            inputs,
            compute_dtype,
        }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn compute_dtype(&self) -> ComputeDtype {
        self.compute_dtype
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.len() * 4,
            Values::Bf16(values) | Values::F16(values) => values.len() * 2,
            Values::Quantized(values) => values.bytes(),
        }
    }

    /// Computes `x · Wᵀ`.
    pub(crate) fn forward(&self, out: Out<'_>, x: Mat<'_>) {
        let rows = Operand::of_rows(self, self.outputs, self.inputs);
        matmul(out, x.lines(), rows, self.compute_dtype);
    }

    /// Computes `grad_out · W`; rows of `grad_out` begin `stride` apart.
    pub(crate) fn backward(&self, out: Out<'_>, grad_out: &[f32], tokens: usize, stride: usize) {
        let grad_out = Mat::strided(grad_out, tokens, self.outputs, stride);
        let columns = Operand::of_columns(self, self.inputs, self.outputs);
        matmul(out, grad_out.lines(), columns, self.compute_dtype);
    }
}

impl RowSource for FrozenWeight {
    fn read(&self, row: usize, from: usize, out: &mut [f32]) {
        let at = row * self.inputs + from;
        let range = at..at + out.len();
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&values[range]),
            Values::Bf16(values) => widen_bf16(&values[range], out),
            Values::F16(values) => widen_f16(&values[range], out),
            Values::Quantized(values) => values.dequantize(at, out),
        }
    }
}

fn widen_bf16(bits: &[u16], out: &mut [f32]) {
    out.iter_mut()
        .zip(bits)
        .for_each(|(out, bits)| *out = f32::from_bits(u32::from(*bits) << 16));
}

fn widen_f16(bits: &[u16], out: &mut [f32]) {
    out.iter_mut()
        .zip(bits)
        .for_each(|(out, bits)| *out = f16::from_bits(*bits).to_f32());
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::Random;

    #[test]
    fn products_match_the_widened_matrix_in_every_precision() {
        let quantized = |double_quant| Precision::Quantized {
            quant_type: QuantType::Nf4,
            double_quant,
        };
        let (outputs, inputs, tokens) = (37, 65, 3);
        let mut random = Random::new(&[5]);
        // Values that bfloat16 holds exactly: products round nothing else.
        let mut draw = |count: usize| -> Vec<f32> {
            let values = (0..count).map(|_| bf16::from_f64(random.normal()).to_f32());
            values.collect()
        };
        let (weights, x, dy) = (
            draw(outputs * inputs),
            draw(tokens * inputs),
            draw(tokens * (outputs + 4)),
        );
        for precision in [
            Precision::F32,
            Precision::Bf16,
            Precision::F16,
            quantized(false),
            quantized(true),
        ] {
            let frozen = FrozenWeight::new(weights.clone(), inputs, precision, ComputeDtype::F32);
            let mut wide = vec![0.0; outputs * inputs];
            for (row, out) in wide.chunks_mut(inputs).enumerate() {
                frozen.read(row, 0, out);
            }
            let mut y = vec![0.0; tokens * outputs];
            frozen.forward(Out::set(&mut y, outputs), Mat::new(&x, tokens, inputs));
            let mut dx = vec![0.0; tokens * inputs];
            frozen.backward(Out::set(&mut dx, inputs), &dy, tokens, outputs + 4);
            for token in 0..tokens {
                let sum: f32 = (0..inputs)
                    .map(|i| x[token * inputs + i] * wide[7 * inputs + i])
                    .sum();
                assert!((y[token * outputs + 7] - sum).abs() < 1e-3);
                let sum: f32 = (0..outputs)
                    .map(|o| dy[token * (outputs + 4) + o] * wide[o * inputs + 9])
                    .sum();
                assert!((dx[token * inputs + 9] - sum).abs() < 1e-3);
            }
            // Also from odd places on.
            let mut part = [0.0; 31];
            frozen.read(5, 8, &mut part);
            assert_eq!(part, wide[5 * inputs + 8..][..31]);
        }
    }
}

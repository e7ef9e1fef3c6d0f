//! Weights that stay as they are, in the precision they are kept in.
//!
//! Short forms are widened while they are copied for a product, each time anew: a whole widened copy would cost what they save.

use half::{bf16, f16};

use super::quantise::{Quantised, Table};
use kernels::matmul::{ComputeDtype, Mat, Operand, Out, RowSource, matmul};

/// What weights are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// Upper halves of 32-bit floats.
    Bf16,
    /// 16-bit floats.
    F16,
    /// Four bits.
    Quantised {
        /// Which values four bits stand for.
        table: Table,
        /// Scales in eight bits.
        double: bool,
    },
}

impl Precision {
    /// Bytes a weight takes.
    #[must_use]
    pub fn bytes(self) -> f64 {
        match self {
            Self::F32 => 4.0,
            Self::Bf16 | Self::F16 => 2.0,
            Self::Quantised { double: false, .. } => 0.5 + 4.0 / 64.0,
            Self::Quantised { double: true, .. } => 0.5 + 1.0 / 64.0 + 4.0 / (64.0 * 256.0),
        }
    }
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
    F16(Vec<u16>),
    Quantised(Quantised),
}

/// A matrix `[outputs, inputs]`.
#[derive(Debug)]
pub(crate) struct Frozen {
    values: Values,
    outputs: usize,
    inputs: usize,
    arithmetic: ComputeDtype,
}

impl Frozen {
    /// `quantised` is how products are computed if that is what weights become; bfloat16 ones are multiplied as such.
    pub(crate) fn new(
        values: Vec<f32>,
        inputs: usize,
        precision: Precision,
        quantised: ComputeDtype,
    ) -> Self {
        let arithmetic = match precision {
            Precision::F32 | Precision::F16 => ComputeDtype::F32,
            Precision::Bf16 => ComputeDtype::Bf16,
            Precision::Quantised { .. } => quantised,
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
            Precision::Quantised { table, double } => {
                Values::Quantised(Quantised::new(&values, table, double))
            }
        };
        Self {
            values,
            outputs,
            inputs,
            arithmetic,
        }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// How products are computed.
    pub(crate) fn arithmetic(&self) -> ComputeDtype {
        self.arithmetic
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.len() * 4,
            Values::Bf16(values) | Values::F16(values) => values.len() * 2,
            Values::Quantised(values) => values.bytes(),
        }
    }

    /// `x · Wᵀ`.
    pub(crate) fn forward(&self, out: Out<'_>, x: Mat<'_>) {
        let rows = Operand::of_rows(self, self.outputs, self.inputs);
        matmul(out, x.lines(), rows, self.arithmetic);
    }

    /// `dy · W`; rows of `dy` begin `stride` apart.
    pub(crate) fn backward(&self, out: Out<'_>, dy: &[f32], tokens: usize, stride: usize) {
        let dy = Mat::strided(dy, tokens, self.outputs, stride);
        let columns = Operand::of_columns(self, self.inputs, self.outputs);
        matmul(out, dy.lines(), columns, self.arithmetic);
    }
}

impl RowSource for Frozen {
    fn read(&self, row: usize, from: usize, out: &mut [f32]) {
        let at = row * self.inputs + from;
        let range = at..at + out.len();
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&values[range]),
            Values::Bf16(values) => widen_bf16(&values[range], out),
            Values::F16(values) => widen_f16(&values[range], out),
            Values::Quantised(values) => values.dequantise(at, out),
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
    fn products_are_those_of_the_widened_matrix_in_every_precision() {
        let quantised = |double| Precision::Quantised {
            table: Table::Nf4,
            double,
        };
        let (outputs, inputs, tokens) = (37, 65, 3);
        let mut random = Random::new(&[5]);
        // Values that bfloat16 holds: products round nothing else.
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
            quantised(false),
            quantised(true),
        ] {
            let frozen = Frozen::new(weights.clone(), inputs, precision, ComputeDtype::F32);
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
            // From odd places on, too.
            let mut part = [0.0; 31];
            frozen.read(5, 8, &mut part);
            assert_eq!(part, wide[5 * inputs + 8..][..31]);
        }
    }
}

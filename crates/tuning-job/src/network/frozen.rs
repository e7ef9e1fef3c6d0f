//! Weights that stay as they are, in the precision they are kept in; arithmetic is in 32-bit floats.
//!
//! Short forms are widened some rows at a time, for each product anew: a whole widened copy would cost what they save.

use half::{bf16, f16};
use rayon::prelude::*;

use super::quantise::{Quantised, Table};
use crate::maths::matmul::{Mat, Out, product};

/// Elements widened at once.
const WIDENED: usize = 1 << 20;

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
}

impl Frozen {
    pub(crate) fn new(values: Vec<f32>, inputs: usize, precision: Precision) -> Self {
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
        }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
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
        let Out { data, stride, add } = out;
        self.in_parts(|first, rows, weights| {
            let out = Out {
                data: &mut data[first..],
                stride,
                add,
            };
            product(out, x, Mat::new(weights, rows, self.inputs).t(), 1.0);
        });
    }

    /// `dy · W`; rows of `dy` begin `stride` apart.
    pub(crate) fn backward(&self, out: Out<'_>, dy: &[f32], tokens: usize, stride: usize) {
        let Out {
            data,
            stride: out_stride,
            add,
        } = out;
        self.in_parts(|first, rows, weights| {
            let out = Out {
                data: &mut *data,
                stride: out_stride,
                add: add || first > 0,
            };
            product(
                out,
                Mat::strided(&dy[first..], tokens, rows, stride),
                Mat::new(weights, rows, self.inputs),
                1.0,
            );
        });
    }

    /// One row.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.inputs..(row + 1) * self.inputs;
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&values[range]),
            Values::Bf16(values) => widen_bf16(&values[range], out),
            Values::F16(values) => widen_f16(&values[range], out),
            Values::Quantised(_) => self.widen(row, 1, out),
        }
    }

    /// Calls `f` with the first row, the number of rows and their values, until all rows were there.
    fn in_parts(&self, mut f: impl FnMut(usize, usize, &[f32])) {
        if let Values::F32(values) = &self.values {
            return f(0, self.outputs, values);
        }
        let at_once = ((WIDENED / self.inputs.max(1)) & !1).max(2);
        let mut buffer = vec![0.0; at_once.min(self.outputs) * self.inputs];
        for first in (0..self.outputs).step_by(at_once) {
            let rows = at_once.min(self.outputs - first);
            let buffer = &mut buffer[..rows * self.inputs];
            self.widen(first, rows, buffer);
            f(first, rows, buffer);
        }
    }

    /// Rows from `first`, an even number where values are quantised and rows odd, on.
    fn widen(&self, first: usize, rows: usize, out: &mut [f32]) {
        let width = 2 * self.inputs * rows.div_ceil(16);
        out.par_chunks_mut(width).enumerate().for_each(|(index, out)| {
            let from = first * self.inputs + index * width;
            let range = from..from + out.len();
            match &self.values {
                Values::F32(values) => out.copy_from_slice(&values[range]),
                Values::Bf16(values) => widen_bf16(&values[range], out),
                Values::F16(values) => widen_f16(&values[range], out),
                Values::Quantised(values) => values.dequantise(from, out),
            }
        });
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
    use crate::maths::random::Random;

    #[test]
    fn products_are_those_of_the_widened_matrix_in_every_precision() {
        let quantised = |double| Precision::Quantised {
            table: Table::Nf4,
            double,
        };
        let (outputs, inputs, tokens) = (37, 65, 3);
        let mut random = Random::new(&[5]);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal() as f32).collect() };
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
            let frozen = Frozen::new(weights.clone(), inputs, precision);
            let mut wide = vec![0.0; outputs * inputs];
            frozen.in_parts(|first, rows, part| {
                wide[first * inputs..(first + rows) * inputs].copy_from_slice(part)
            });
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
            let mut row = vec![0.0; inputs];
            frozen.row(4, &mut row);
            assert_eq!(row, wide[4 * inputs..5 * inputs]);
        }
    }
}

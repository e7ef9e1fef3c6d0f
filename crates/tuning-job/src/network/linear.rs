//! Frozen maps of the same inputs, side by side, with what is trained of them.

use super::frozen::Frozen;
use super::lora::{self, Lora, Pass};
use kernels::matmul::{ComputeDtype, Mat, Operand, Out, RowSource, matmul};

/// A module.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) frozen: Frozen,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) lora: Option<Lora>,
}

/// Modules with the same inputs; their outputs lie side by side, and they are multiplied as one matrix.
#[derive(Debug)]
pub(crate) struct Stack(pub(crate) Vec<Linear>);

impl RowSource for Stack {
    fn read(&self, row: usize, from: usize, out: &mut [f32]) {
        let mut row = row;
        for linear in &self.0 {
            if row < linear.frozen.outputs() {
                return linear.frozen.read(row, from, out);
            }
            row -= linear.frozen.outputs();
        }
    }
}

impl Stack {
    pub(crate) fn outputs(&self) -> usize {
        self.0.iter().map(|linear| linear.frozen.outputs()).sum()
    }

    fn inputs(&self) -> usize {
        self.0.first().map_or(0, |linear| linear.frozen.inputs())
    }

    pub(crate) fn is_trained(&self) -> bool {
        self.0.iter().any(|linear| linear.lora.is_some())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|linear| linear.frozen.bytes()).sum()
    }

    /// Whether all modules allow it.
    pub(crate) fn is_rounded(&self) -> bool {
        let is_rounded = |linear: &Linear| linear.frozen.arithmetic() == ComputeDtype::Bf16;
        self.0.iter().all(is_rounded)
    }

    fn arithmetic(&self) -> ComputeDtype {
        if self.is_rounded() {
            ComputeDtype::Bf16
        } else {
            ComputeDtype::F32
        }
    }

    pub(crate) fn forward(&self, pass: Pass<'_>, x: &[f32]) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let tokens = x.len() / inputs.max(1);
        let mut out = vec![0.0; tokens * outputs];
        matmul(
            Out::set(&mut out, outputs),
            Mat::new(x, tokens, inputs).lines(),
            Operand::of_rows(self, outputs, inputs),
            self.arithmetic(),
        );
        let mut first = 0;
        for linear in &self.0 {
            if let Some(bias) = &linear.bias {
                for row in out.chunks_exact_mut(outputs) {
                    let row = &mut row[first..first + bias.len()];
                    row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
                }
            }
            first += linear.frozen.outputs();
        }
        lora::forward(&lora::parts(self, pass, x), x, inputs, &mut out, outputs);
        out
    }

    /// The derivative of the inputs, if it is `wanted`; adds to those of the factors.
    pub(crate) fn backward(
        &self,
        pass: Pass<'_>,
        grads: &mut [f32],
        x: &[f32],
        dy: &[f32],
        wanted: bool,
    ) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let mut dx = vec![0.0; if wanted { x.len() } else { 0 }];
        if wanted {
            matmul(
                Out::set(&mut dx, inputs),
                Mat::new(dy, dy.len() / outputs, outputs).lines(),
                Operand::of_columns(self, inputs, outputs),
                self.arithmetic(),
            );
        }
        let parts = lora::parts(self, pass, x);
        lora::backward(&parts, grads, (x, inputs), (dy, outputs), &mut dx);
        dx
    }
}

//! Frozen linear modules with the same inputs, side by side, and their LoRA matrices.

use std::ops::Range;

use kernels::matmul::{ComputeDtype, Mat, Operand, Out, RowSource, matmul};

use super::batch::Pass;
use super::frozen::FrozenWeight;
use super::lora::{self, ActiveLora, Lora};

/// A linear module.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: FrozenWeight,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) lora: Option<Lora>,
}

/// Modules with the same inputs. Their outputs lie side by side, and they are multiplied as one matrix.
#[derive(Debug)]
pub(crate) struct MergedLinear(pub(crate) Vec<Linear>);

impl RowSource for MergedLinear {
    fn read(&self, row: usize, from: usize, out: &mut [f32]) {
        let mut row = row;
        for linear in &self.0 {
            if row < linear.weight.outputs() {
                return linear.weight.read(row, from, out);
            }
            row -= linear.weight.outputs();
        }
    }
}

impl MergedLinear {
    fn outputs(&self) -> usize {
        self.0.iter().map(|linear| linear.weight.outputs()).sum()
    }

    fn inputs(&self) -> usize {
        self.0.first().map_or(0, |linear| linear.weight.inputs())
    }

    pub(crate) fn is_trained(&self) -> bool {
        self.0.iter().any(|linear| linear.lora.is_some())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|linear| linear.weight.bytes()).sum()
    }

    /// Reports whether all modules allow rounding to bfloat16.
    pub(crate) fn rounds_to_bf16(&self) -> bool {
        self.0
            .iter()
            .all(|linear| linear.weight.compute_dtype() == ComputeDtype::Bf16)
    }

    fn compute_dtype(&self) -> ComputeDtype {
        if self.rounds_to_bf16() {
            ComputeDtype::Bf16
        } else {
            ComputeDtype::F32
        }
    }

    /// Each module with its place among the outputs.
    fn placed(&self) -> impl Iterator<Item = (Range<usize>, &Linear)> {
        let mut first = 0;
        self.0.iter().map(move |linear| {
            let outputs = first..first + linear.weight.outputs();
            first = outputs.end;
            (outputs, linear)
        })
    }

    /// The LoRA matrices of the trained modules, for inputs `x`.
    fn active_loras<'a>(&'a self, pass: Pass<'a>, x: &[f32]) -> Vec<ActiveLora<'a>> {
        let inputs = self.inputs();
        self.placed()
            .filter_map(|(outputs, linear)| Some(linear.lora.as_ref()?.activate(outputs, pass, x, inputs)))
            .collect()
    }

    pub(crate) fn forward(&self, pass: Pass<'_>, x: &[f32]) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let tokens = x.len() / inputs.max(1);
        let mut out = vec![0.0; tokens * outputs];
        matmul(
            Out::set(&mut out, outputs),
            Mat::new(x, tokens, inputs).lines(),
            Operand::of_rows(self, outputs, inputs),
            self.compute_dtype(),
        );
        for (range, linear) in self.placed() {
            if let Some(bias) = &linear.bias {
                for row in out.chunks_exact_mut(outputs) {
                    let row = &mut row[range.clone()];
                    row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
                }
            }
        }
        lora::forward(&self.active_loras(pass, x), x, inputs, &mut out, outputs);
        out
    }

    /// Returns the gradient of the inputs if it is `needed`. Adds to the gradients of the LoRA matrices.
    pub(crate) fn backward(
        &self,
        pass: Pass<'_>,
        gradient: &mut [f32],
        x: &[f32],
        grad_out: &[f32],
        needed: bool,
    ) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let mut grad_x = vec![0.0; if needed { x.len() } else { 0 }];
        if needed {
            matmul(
                Out::set(&mut grad_x, inputs),
                Mat::new(grad_out, grad_out.len() / outputs, outputs).lines(),
                Operand::of_columns(self, inputs, outputs),
                self.compute_dtype(),
            );
        }
        let loras = self.active_loras(pass, x);
        lora::backward(&loras, gradient, (x, inputs), (grad_out, outputs), &mut grad_x);
        grad_x
    }
}

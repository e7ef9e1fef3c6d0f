//! Trainable LoRA matrices beside frozen modules: `scaling · dropout(x) Aᵀ Bᵀ`.

use std::ops::Range;

use kernels::Random;
use kernels::lora::{self as kernel, StridedRows};
use rayon::prelude::*;

use super::batch::Pass;

/// Tokens that a thread takes at once.
const TOKENS: usize = 16;

/// The LoRA matrices of a module: their places in the trainable parameters, and their options.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lora {
    pub(crate) rank: usize,
    pub(crate) scaling: f32,
    /// Probability that an input is dropped, from 0 to below 1.
    pub(crate) dropout: f32,
    /// `[rank, inputs]`.
    pub(crate) lora_a: Range<usize>,
    /// `[outputs, rank]`.
    pub(crate) lora_b: Range<usize>,
}

/// The LoRA matrices of a module in one pass.
pub(super) struct ActiveLora<'a> {
    lora: &'a Lora,
    /// The module's outputs among those of its neighbors.
    outputs: Range<usize>,
    /// `[rank, inputs]`.
    a: &'a [f32],
    /// `[rank, outputs]`.
    b: Vec<f32>,
    dropped: Option<Dropped>,
}

/// Inputs of a module after dropout.
struct Dropped {
    seed: [u64; 2],
    x: Vec<f32>,
}

impl Lora {
    /// Prepares a pass with inputs `x`.
    pub(super) fn activate<'a>(
        &'a self,
        outputs: Range<usize>,
        pass: Pass<'a>,
        x: &[f32],
        inputs: usize,
    ) -> ActiveLora<'a> {
        let seed = pass.dropout_seed.filter(|_| self.dropout > 0.0);
        ActiveLora {
            lora: self,
            outputs,
            a: &pass.params[self.lora_a.clone()],
            b: kernel::transposed(&pass.params[self.lora_b.clone()], self.rank),
            dropped: seed.map(|seed| self.drop(seed, x, inputs)),
        }
    }

    fn drop(&self, seed: [u64; 2], x: &[f32], inputs: usize) -> Dropped {
        let mut x = x.to_vec();
        x.par_chunks_exact_mut(inputs)
            .enumerate()
            .for_each(|(token, row)| self.mask(seed, token, row));
        Dropped { seed, x }
    }

    /// Zeroes the dropped inputs of a token and scales up the rest.
    fn mask(&self, [first, second]: [u64; 2], token: usize, row: &mut [f32]) {
        let (probability, scale) = (f64::from(self.dropout), 1.0 / (1.0 - self.dropout));
        let mut random = Random::new(&[first, second, self.lora_a.start as u64, token as u64]);
        for value in row {
            *value = if random.unit() < probability {
                0.0
            } else {
                *value * scale
            };
        }
    }
}

impl ActiveLora<'_> {
    /// Returns the inputs after dropout, given all inputs.
    fn kept<'b>(&'b self, x: &'b [f32]) -> &'b [f32] {
        self.dropped.as_ref().map_or(x, |dropped| &dropped.x)
    }

    /// Adds to the gradient of a token's inputs.
    fn add_to_inputs(&self, token: usize, grad_inner: &[f32], grad_x: &mut [f32]) {
        let Some(Dropped { seed, .. }) = &self.dropped else {
            return kernel::add_projected_up(grad_inner, self.a, grad_x);
        };
        let mut own = vec![0.0; grad_x.len()];
        kernel::add_projected_up(grad_inner, self.a, &mut own);
        self.lora.mask(*seed, token, &mut own);
        grad_x.iter_mut().zip(own).for_each(|(grad, own)| *grad += own);
    }
}

/// Adds the products of all LoRA matrices to the outputs of their modules.
pub(super) fn forward(loras: &[ActiveLora<'_>], x: &[f32], inputs: usize, out: &mut [f32], outputs: usize) {
    let rank = loras.iter().map(|active| active.lora.rank).fold(0, usize::max);
    if rank == 0 {
        return;
    }
    out.par_chunks_mut(TOKENS * outputs)
        .enumerate()
        .for_each(|(chunk, out)| {
            let mut inner = vec![0.0; rank];
            for (index, out) in out.chunks_exact_mut(outputs).enumerate() {
                let at = (chunk * TOKENS + index) * inputs;
                for active in loras {
                    let inner = &mut inner[..active.lora.rank];
                    let x = &active.kept(x)[at..at + inputs];
                    kernel::project_down(x, active.a, active.lora.scaling, inner);
                    kernel::add_projected_up(inner, &active.b, &mut out[active.outputs.clone()]);
                }
            }
        });
}

/// Adds to the gradients of all LoRA matrices and, unless `grad_x` is empty, of their inputs.
pub(super) fn backward(
    loras: &[ActiveLora<'_>],
    gradient: &mut [f32],
    (x, inputs): (&[f32], usize),
    (grad_out, outputs): (&[f32], usize),
    grad_x: &mut [f32],
) {
    let ranks: usize = loras.iter().map(|active| active.lora.rank).sum();
    if ranks == 0 {
        return;
    }
    // For each token and module: the inputs times `A`, and the gradient of that.
    let width = 2 * ranks;
    let mut inner = vec![0.0; x.len() / inputs * width];
    let mut grad_x: Vec<&mut [f32]> = grad_x.chunks_mut(TOKENS * inputs).collect();
    grad_x.resize_with(x.len().div_ceil(TOKENS * inputs), Default::default);
    let chunks = inner.par_chunks_mut(TOKENS * width).zip(grad_x).enumerate();
    chunks.for_each(|(chunk, (inner, grad_x))| {
        let mut grad_x = grad_x.chunks_exact_mut(inputs);
        for (index, mut inner) in inner.chunks_exact_mut(width).enumerate() {
            let token = chunk * TOKENS + index;
            let mut grad_x = grad_x.next();
            for active in loras {
                let (own, rest) = inner.split_at_mut(2 * active.lora.rank);
                let (own, grad_inner) = own.split_at_mut(active.lora.rank);
                let x = &active.kept(x)[token * inputs..][..inputs];
                kernel::project_down(x, active.a, active.lora.scaling, own);
                let grad_out = &grad_out[token * outputs..][active.outputs.clone()];
                kernel::project_down(grad_out, &active.b, active.lora.scaling, grad_inner);
                if let Some(grad_x) = &mut grad_x {
                    active.add_to_inputs(token, grad_inner, grad_x);
                }
                inner = rest;
            }
        }
    });
    add_to_matrices(loras, gradient, &inner, width, (x, inputs), (grad_out, outputs));
}

fn add_to_matrices(
    loras: &[ActiveLora<'_>],
    gradient: &mut [f32],
    inner: &[f32],
    stride: usize,
    (x, inputs): (&[f32], usize),
    (grad_out, outputs): (&[f32], usize),
) {
    let mut first = 0;
    let mut pairs = Vec::with_capacity(2 * loras.len());
    for active in loras {
        let mut rows = || {
            let data = &inner[first..];
            first += active.lora.rank;
            StridedRows {
                data,
                width: active.lora.rank,
                stride,
            }
        };
        let (own, grad_inner) = (rows(), rows());
        let grad_out = StridedRows {
            data: &grad_out[active.outputs.start..],
            width: active.outputs.len(),
            stride: outputs,
        };
        let x = StridedRows {
            data: active.kept(x),
            width: inputs,
            stride: inputs,
        };
        pairs.extend([(own, grad_out), (grad_inner, x)]);
    }
    let sums = kernel::weight_gradients(&pairs, x.len() / inputs);
    for (active, sums) in loras.iter().zip(sums.chunks_exact(2)) {
        let (a, b) = (active.lora.lora_a.clone(), active.lora.lora_b.clone());
        kernel::add_blocks_transposed(&sums[0], active.lora.rank, &mut gradient[b]);
        kernel::add_blocks(&sums[1], inputs, &mut gradient[a]);
    }
}

//! Trained changes of low rank beside frozen maps: `scale · dropout(x) Aᵀ Bᵀ`.

use std::ops::Range;

use rayon::prelude::*;

use super::linear::Stack;
use kernels::Random;
use kernels::lora::{self as kernel, StridedRows};

/// Tokens a thread takes at once.
const TOKENS: usize = 16;

/// Where a module's factors are among all trained values, and what is done with them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lora {
    pub(crate) rank: usize,
    pub(crate) scale: f32,
    /// Share of inputs that are dropped, from 0 to below 1.
    pub(crate) dropout: f32,
    /// `[rank, inputs]`.
    pub(crate) a: Range<usize>,
    /// `[outputs, rank]`.
    pub(crate) b: Range<usize>,
}

/// What one pass over a batch needs to know beside activations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'a> {
    /// All trained values.
    pub(crate) values: &'a [f32],
    /// Names the pass, so that the same inputs are dropped when it is repeated; absent where nothing is dropped.
    pub(crate) dropout: Option<[u64; 2]>,
}

/// A trained module in one pass.
pub(super) struct Part<'a> {
    lora: &'a Lora,
    /// Its outputs among those of its stack.
    outputs: Range<usize>,
    /// `[rank, inputs]`.
    a: &'a [f32],
    /// `[rank, outputs]`.
    b: Vec<f32>,
    dropped: Option<Dropped>,
}

/// What is left of the inputs of a module.
struct Dropped {
    /// The pass that drops.
    key: [u64; 2],
    x: Vec<f32>,
}

/// The trained modules of a stack whose inputs are `x`.
pub(super) fn parts<'a>(stack: &'a Stack, pass: Pass<'a>, x: &[f32]) -> Vec<Part<'a>> {
    let mut first = 0;
    let mut parts = Vec::new();
    for linear in &stack.0 {
        let outputs = first..first + linear.frozen.outputs();
        first = outputs.end;
        if let Some(lora) = &linear.lora {
            let key = pass.dropout.filter(|_| lora.dropout > 0.0);
            parts.push(Part {
                lora,
                outputs,
                a: &pass.values[lora.a.clone()],
                b: kernel::transposed(&pass.values[lora.b.clone()], lora.rank),
                dropped: key.map(|key| lora.drop(key, x, linear.frozen.inputs())),
            });
        }
    }
    parts
}

impl Lora {
    fn drop(&self, key: [u64; 2], x: &[f32], inputs: usize) -> Dropped {
        let mut x = x.to_vec();
        x.par_chunks_exact_mut(inputs)
            .enumerate()
            .for_each(|(token, row)| self.mask(key, token, row));
        Dropped { key, x }
    }

    /// Zeroes what a pass drops of a token's inputs, and scales up the rest.
    fn mask(&self, [first, second]: [u64; 2], token: usize, row: &mut [f32]) {
        let (share, scale) = (f64::from(self.dropout), 1.0 / (1.0 - self.dropout));
        let mut random = Random::new(&[first, second, self.a.start as u64, token as u64]);
        for value in row {
            *value = if random.unit() < share {
                0.0
            } else {
                *value * scale
            };
        }
    }
}

impl Part<'_> {
    /// The inputs that are not dropped, given all.
    fn kept<'b>(&'b self, x: &'b [f32]) -> &'b [f32] {
        self.dropped.as_ref().map_or(x, |dropped| &dropped.x)
    }

    /// Adds to the derivative of a token's inputs.
    fn add_to_inputs(&self, token: usize, dinner: &[f32], dx: &mut [f32]) {
        let Some(Dropped { key, .. }) = &self.dropped else {
            return kernel::add_projected_up(dinner, self.a, dx);
        };
        let mut own = vec![0.0; dx.len()];
        kernel::add_projected_up(dinner, self.a, &mut own);
        self.lora.mask(*key, token, &mut own);
        dx.iter_mut().zip(own).for_each(|(dx, own)| *dx += own);
    }
}

/// Adds the changes of all parts to the outputs of their stack.
pub(super) fn forward(parts: &[Part<'_>], x: &[f32], inputs: usize, out: &mut [f32], outputs: usize) {
    let rank = parts.iter().map(|part| part.lora.rank).fold(0, usize::max);
    if rank == 0 {
        return;
    }
    out.par_chunks_mut(TOKENS * outputs)
        .enumerate()
        .for_each(|(chunk, out)| {
            let mut inner = vec![0.0; rank];
            for (index, out) in out.chunks_exact_mut(outputs).enumerate() {
                let at = (chunk * TOKENS + index) * inputs;
                for part in parts {
                    let inner = &mut inner[..part.lora.rank];
                    kernel::project_down(&part.kept(x)[at..at + inputs], part.a, part.lora.scale, inner);
                    kernel::add_projected_up(inner, &part.b, &mut out[part.outputs.clone()]);
                }
            }
        });
}

/// Adds to the derivatives of all parts' factors and, if there is one, of their inputs.
pub(super) fn backward(
    parts: &[Part<'_>],
    grads: &mut [f32],
    (x, inputs): (&[f32], usize),
    (dy, outputs): (&[f32], usize),
    dx: &mut [f32],
) {
    let ranks: usize = parts.iter().map(|part| part.lora.rank).sum();
    if ranks == 0 {
        return;
    }
    // Of each token, for each part, its inputs times `A`, and the derivative of that.
    let width = 2 * ranks;
    let mut inner = vec![0.0; x.len() / inputs * width];
    let mut dx: Vec<&mut [f32]> = dx.chunks_mut(TOKENS * inputs).collect();
    dx.resize_with(x.len().div_ceil(TOKENS * inputs), Default::default);
    let chunks = inner.par_chunks_mut(TOKENS * width).zip(dx).enumerate();
    chunks.for_each(|(chunk, (inner, dx))| {
        let mut dx = dx.chunks_exact_mut(inputs);
        for (index, mut inner) in inner.chunks_exact_mut(width).enumerate() {
            let token = chunk * TOKENS + index;
            let mut dx = dx.next();
            for part in parts {
                let (own, rest) = inner.split_at_mut(2 * part.lora.rank);
                let (own, dinner) = own.split_at_mut(part.lora.rank);
                kernel::project_down(
                    &part.kept(x)[token * inputs..][..inputs],
                    part.a,
                    part.lora.scale,
                    own,
                );
                let dy = &dy[token * outputs..][part.outputs.clone()];
                kernel::project_down(dy, &part.b, part.lora.scale, dinner);
                if let Some(dx) = &mut dx {
                    part.add_to_inputs(token, dinner, dx);
                }
                inner = rest;
            }
        }
    });
    add_to_factors(parts, grads, &inner, width, (x, inputs), (dy, outputs));
}

fn add_to_factors(
    parts: &[Part<'_>],
    grads: &mut [f32],
    inner: &[f32],
    stride: usize,
    (x, inputs): (&[f32], usize),
    (dy, outputs): (&[f32], usize),
) {
    let mut first = 0;
    let mut pairs = Vec::with_capacity(2 * parts.len());
    for part in parts {
        let mut tall = || {
            let data = &inner[first..];
            first += part.lora.rank;
            StridedRows {
                data,
                width: part.lora.rank,
                stride,
            }
        };
        let (own, dinner) = (tall(), tall());
        let dy = StridedRows {
            data: &dy[part.outputs.start..],
            width: part.outputs.len(),
            stride: outputs,
        };
        let x = StridedRows {
            data: part.kept(x),
            width: inputs,
            stride: inputs,
        };
        pairs.extend([(own, dy), (dinner, x)]);
    }
    let sums = kernel::weight_gradients(&pairs, x.len() / inputs);
    for (part, sums) in parts.iter().zip(sums.chunks_exact(2)) {
        kernel::add_blocks_transposed(&sums[0], part.lora.rank, &mut grads[part.lora.b.clone()]);
        kernel::add_blocks(&sums[1], inputs, &mut grads[part.lora.a.clone()]);
    }
}

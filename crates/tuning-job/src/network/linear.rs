//! A frozen map with a trained change of low rank beside it: `x Wᵀ + bias + scale · dropout(x) Aᵀ Bᵀ`.

use std::ops::Range;

use super::frozen::Frozen;
use crate::maths::matmul::{Mat, Out, product};
use crate::maths::random::Random;

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

/// A module.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) frozen: Frozen,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) lora: Option<Lora>,
}

impl Linear {
    /// Writes the outputs of all tokens.
    pub(crate) fn forward(&self, pass: Pass<'_>, x: &[f32], out: Out<'_>) {
        let (inputs, outputs) = (self.frozen.inputs(), self.frozen.outputs());
        let tokens = x.len() / inputs;
        let Out { data, stride, .. } = out;
        self.frozen.forward(
            Out {
                data,
                stride,
                add: false,
            },
            Mat::new(x, tokens, inputs),
        );
        if let Some(bias) = &self.bias {
            for row in data.chunks_mut(stride).take(tokens) {
                row[..outputs]
                    .iter_mut()
                    .zip(bias)
                    .for_each(|(out, bias)| *out += bias);
            }
        }
        if let Some(lora) = &self.lora {
            let inner = lora.inner(pass, x, inputs);
            let b = Mat::new(&pass.values[lora.b.clone()], outputs, lora.rank);
            let out = Out {
                data,
                stride,
                add: true,
            };
            product(out, Mat::new(&inner, tokens, lora.rank), b.t(), lora.scale);
        }
    }

    /// Adds to the derivatives of the factors, and to `dx` if there is one. Rows of `dy` begin `stride` apart.
    pub(crate) fn backward(
        &self,
        pass: Pass<'_>,
        grads: &mut [f32],
        x: &[f32],
        (dy, stride): (&[f32], usize),
        dx: Option<&mut [f32]>,
    ) {
        let (inputs, outputs) = (self.frozen.inputs(), self.frozen.outputs());
        let tokens = x.len() / inputs;
        let mut dx = dx;
        if let Some(lora) = &self.lora {
            let dy = Mat::strided(dy, tokens, outputs, stride);
            let dropped = lora.dropped(pass, x, inputs);
            let kept = dropped.as_deref().unwrap_or(x);
            let inner = lora.inner(pass, x, inputs);
            let inner = Mat::new(&inner, tokens, lora.rank);
            product(
                Out::add(&mut grads[lora.b.clone()], lora.rank),
                dy.t(),
                inner,
                lora.scale,
            );
            let mut dinner = vec![0.0; tokens * lora.rank];
            let b = Mat::new(&pass.values[lora.b.clone()], outputs, lora.rank);
            product(Out::set(&mut dinner, lora.rank), dy, b, lora.scale);
            let dinner = Mat::new(&dinner, tokens, lora.rank);
            product(
                Out::add(&mut grads[lora.a.clone()], inputs),
                dinner.t(),
                Mat::new(kept, tokens, inputs),
                1.0,
            );
            if let Some(dx) = dx.as_deref_mut() {
                let a = Mat::new(&pass.values[lora.a.clone()], lora.rank, inputs);
                lora.back(pass, dx, dinner, a, inputs);
            }
        }
        if let Some(dx) = dx {
            self.frozen.backward(Out::add(dx, inputs), dy, tokens, stride);
        }
    }
}

impl Lora {
    /// `dropout(x) Aᵀ`.
    fn inner(&self, pass: Pass<'_>, x: &[f32], inputs: usize) -> Vec<f32> {
        let tokens = x.len() / inputs;
        let dropped = self.dropped(pass, x, inputs);
        let x = Mat::new(dropped.as_deref().unwrap_or(x), tokens, inputs);
        let mut inner = vec![0.0; tokens * self.rank];
        let a = Mat::new(&pass.values[self.a.clone()], self.rank, inputs);
        product(Out::set(&mut inner, self.rank), x, a.t(), 1.0);
        inner
    }

    /// A copy of `x` without what is dropped; nothing where nothing is.
    fn dropped(&self, pass: Pass<'_>, x: &[f32], inputs: usize) -> Option<Vec<f32>> {
        let mut kept = x.to_vec();
        self.mask(pass, &mut kept, inputs).then_some(kept)
    }

    /// Zeroes what this pass drops and scales up the rest; says whether it did.
    fn mask(&self, pass: Pass<'_>, x: &mut [f32], inputs: usize) -> bool {
        let Some([first, second]) = pass.dropout.filter(|_| self.dropout > 0.0) else {
            return false;
        };
        let (share, scale) = (f64::from(self.dropout), 1.0 / (1.0 - self.dropout));
        for (token, row) in x.chunks_exact_mut(inputs).enumerate() {
            let mut random = Random::new(&[first, second, self.a.start as u64, token as u64]);
            for value in row {
                *value = if random.unit() < share {
                    0.0
                } else {
                    *value * scale
                };
            }
        }
        true
    }

    fn back(&self, pass: Pass<'_>, dx: &mut [f32], dinner: Mat<'_>, a: Mat<'_>, inputs: usize) {
        if pass.dropout.is_none() || self.dropout <= 0.0 {
            return product(Out::add(dx, inputs), dinner, a, 1.0);
        }
        let mut own = vec![0.0; dx.len()];
        product(Out::set(&mut own, inputs), dinner, a, 1.0);
        self.mask(pass, &mut own, inputs);
        dx.iter_mut().zip(own).for_each(|(dx, own)| *dx += own);
    }
}

/// Modules with the same inputs; their outputs lie side by side.
#[derive(Debug)]
pub(crate) struct Stack(pub(crate) Vec<Linear>);

impl Stack {
    pub(crate) fn outputs(&self) -> usize {
        self.0.iter().map(|linear| linear.frozen.outputs()).sum()
    }

    pub(crate) fn is_trained(&self) -> bool {
        self.0.iter().any(|linear| linear.lora.is_some())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|linear| linear.frozen.bytes()).sum()
    }

    pub(crate) fn forward(&self, pass: Pass<'_>, x: &[f32]) -> Vec<f32> {
        let stride = self.outputs();
        let tokens = self
            .0
            .first()
            .map_or(0, |linear| x.len() / linear.frozen.inputs());
        let mut out = vec![0.0; tokens * stride];
        let mut first = 0;
        for linear in &self.0 {
            let target = Out {
                data: &mut out[first..],
                stride,
                add: false,
            };
            linear.forward(pass, x, target);
            first += linear.frozen.outputs();
        }
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
        let stride = self.outputs();
        let mut dx = vec![0.0; if wanted { x.len() } else { 0 }];
        let mut first = 0;
        for linear in &self.0 {
            let target = wanted.then_some(dx.as_mut_slice());
            linear.backward(pass, grads, x, (&dy[first..], stride), target);
            first += linear.frozen.outputs();
        }
        dx
    }
}

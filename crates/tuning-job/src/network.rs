//! The model as training sees it: frozen weights, trained factors of low rank, the loss and its derivative.
//!
//! Sequences of a batch lie one after the other, without padding; attention keeps them apart. What a layer needs for its
//! derivative is kept, or, to save memory, computed again from the layer's input.

mod frozen;
mod layer;
mod linear;
mod load;
mod lora;
mod quantise;
mod settings;

use model::Spec;

pub use frozen::Precision;
pub use quantise::{Quantised, Scales, Table};
pub use settings::{LoadError, LoadSettings, Lora as LoraSettings, Targets, planned, trained_modules};

pub use kernels::matmul::ComputeDtype;
use kernels::matmul::{Mat, Out, RowSource as _, has_bf16_matmul};
use kernels::{CrossEntropy, rms_norm, rms_norm_backward};

use frozen::Frozen;
use layer::{Batchwise, Layer, Saved};
use lora::Pass;

/// Sequences that are computed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// All tokens.
    pub tokens: Vec<u32>,
    /// What follows each token, where that is to be learnt.
    pub targets: Vec<Option<u32>>,
    /// Numbers of tokens of the sequences.
    pub lengths: Vec<usize>,
}

impl Batch {
    /// Tokens that are to be learnt.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.targets.iter().flatten().count()
    }
}

/// A trained module, and where its factors lie among the trained values.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Its name in the model, without `.weight`.
    pub name: String,
    /// Width of its inputs.
    pub inputs: usize,
    /// Width of its outputs.
    pub outputs: usize,
    /// Rank of its change.
    pub rank: usize,
    /// Factor on its change.
    pub scale: f32,
    /// Where `A`, `[rank, inputs]`, begins.
    pub a: usize,
    /// Where `B`, `[outputs, rank]`, begins.
    pub b: usize,
}

/// How a pass is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Names the pass: what is dropped depends on it. Absent where nothing is to be dropped.
    pub dropout: Option<[u64; 2]>,
    /// Layers are computed again for their derivative instead of kept.
    pub checkpointing: bool,
}

/// A model that can be trained.
#[derive(Debug)]
pub struct Network {
    spec: Spec,
    embeddings: Frozen,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// Absent where it is the embeddings.
    head: Option<Frozen>,
    modules: Vec<Module>,
    /// Number of trained values.
    trained: usize,
}

impl Network {
    /// What the model is.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The trained modules.
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// Number of trained values.
    #[must_use]
    pub fn trained(&self) -> usize {
        self.trained
    }

    /// Bytes of the frozen weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        layers + self.embeddings.bytes() + self.head.as_ref().map_or(0, Frozen::bytes)
    }

    /// Sum of the losses of a batch.
    #[must_use]
    pub fn loss(&self, values: &[f32], batch: &Batch) -> f64 {
        let pass = Pass {
            values,
            dropout: None,
        };
        let wise = Batchwise::new(&self.spec, batch);
        let mut x = self.embed(batch);
        for layer in &self.layers {
            layer.forward(&self.spec, &wise, pass, &mut x, false);
        }
        self.head_loss(batch, &x, None, 1.0)
    }

    /// Sum of the losses of a batch, which is at least one token; adds `factor` times its derivative to `grads`.
    ///
    /// `grads` is as long as `values`.
    pub fn train(&self, values: &[f32], grads: &mut [f32], batch: &Batch, mode: Mode, factor: f32) -> f64 {
        let pass = Pass {
            values,
            dropout: mode.dropout,
        };
        let wise = Batchwise::new(&self.spec, batch);
        let first = self
            .layers
            .iter()
            .position(Layer::is_trained)
            .unwrap_or(self.layers.len());
        let mut x = self.embed(batch);
        // What lies below the first trained layer is never needed again.
        let mut inputs = Vec::with_capacity(self.layers.len());
        let mut kept: Vec<Option<Saved>> = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            if index >= first {
                inputs.push(x.clone());
            }
            let saved = layer.forward(
                &self.spec,
                &wise,
                pass,
                &mut x,
                index >= first && !mode.checkpointing,
            );
            if index >= first {
                kept.push(saved);
            }
        }
        let mut dx = vec![0.0; x.len()];
        let loss = self.head_loss(batch, &x, Some(&mut dx), factor);
        drop(x);
        for (index, layer) in self.layers.iter().enumerate().skip(first).rev() {
            let (Some(input), Some(saved)) = (inputs.pop(), kept.pop()) else {
                break;
            };
            let saved = match saved {
                Some(saved) => saved,
                None => {
                    let mut again = input.clone();
                    layer
                        .forward(&self.spec, &wise, pass, &mut again, true)
                        .unwrap_or_default()
                }
            };
            layer.backward(
                &self.spec,
                &wise,
                pass,
                grads,
                &input,
                saved,
                &mut dx,
                index > first,
            );
        }
        loss
    }

    /// Whether inputs of frozen weights are rounded to bfloat16 on this processor.
    #[must_use]
    pub fn is_rounded(&self) -> bool {
        has_bf16_matmul() && self.layers.iter().any(Layer::is_rounded)
    }

    fn embed(&self, batch: &Batch) -> Vec<f32> {
        let mut x = vec![0.0; batch.tokens.len() * self.spec.hidden_size];
        for (token, out) in batch.tokens.iter().zip(x.chunks_exact_mut(self.spec.hidden_size)) {
            self.embeddings.read(*token as usize, 0, out);
            out.iter_mut()
                .for_each(|value| *value *= self.spec.embedding_multiplier);
        }
        x
    }

    /// The loss of what comes out of the last layer, and its derivative added to `dx`.
    fn head_loss(&self, batch: &Batch, x: &[f32], dx: Option<&mut [f32]>, factor: f32) -> f64 {
        let hidden = self.spec.hidden_size;
        let learnt = || {
            batch
                .targets
                .iter()
                .enumerate()
                .filter_map(|(at, target)| target.map(|target| (at, target)))
        };
        let targets: Vec<u32> = learnt().map(|(_, target)| target).collect();
        let rows: Vec<f32> = learnt()
            .flat_map(|(at, _)| &x[at * hidden..(at + 1) * hidden])
            .copied()
            .collect();
        let normed = rms_norm(&rows, &self.norm, self.spec.rms_norm_eps);
        let embeddings = self.head.as_ref().unwrap_or(&self.embeddings);
        let head = CrossEntropy {
            forward: &|out: Out<'_>, x: Mat<'_>| embeddings.forward(out, x),
            backward: &|out: Out<'_>, dlogits: &[f32], tokens: usize| {
                embeddings.backward(out, dlogits, tokens, self.spec.vocab_size);
            },
            vocab_size: self.spec.vocab_size,
            hidden_size: hidden,
            scale: self.spec.logit_scale,
            softcap: self.spec.final_logit_softcapping,
        };
        let Some(dx) = dx else {
            return head.loss(&normed, &targets, None, factor);
        };
        let mut dnormed = vec![0.0; normed.len()];
        let loss = head.loss(&normed, &targets, Some(&mut dnormed), factor);
        let mut drows = vec![0.0; rows.len()];
        rms_norm_backward(&rows, &self.norm, self.spec.rms_norm_eps, &dnormed, &mut drows);
        for ((at, _), d) in learnt().zip(drows.chunks_exact(hidden)) {
            dx[at * hidden..(at + 1) * hidden].copy_from_slice(d);
        }
        loss
    }
}

//! The model for training: frozen weights, trainable LoRA matrices, the loss and its gradient.
//!
//! Sequences of a batch lie one after the other, without padding; attention keeps them apart. A layer keeps its activations for
//! the backward pass, or, to save memory, computes them again from its input.

mod batch;
mod frozen;
mod layer;
mod linear;
mod load;
mod lora;
mod module;
mod options;
mod quantize;

use kernels::matmul::{Mat, Out, RowSource as _, has_bf16_matmul};
use kernels::{CrossEntropy, rms_norm, rms_norm_backward};
use model::Spec;

pub use batch::{Batch, Mode};
pub use frozen::Precision;
pub use kernels::matmul::ComputeDtype;
pub use module::Module;
pub use options::{
    LoadError, LoadOptions, LoraOptions, ModuleSelection, num_trainable_params, resolve_target_modules,
};
pub use quantize::{QuantType, QuantizedWeights, Scales};

use batch::{BatchContext, Pass};
use frozen::FrozenWeight;
use layer::{SavedActivations, TrainableLayer};

/// A model that can be trained.
#[derive(Debug)]
pub struct Network {
    spec: Spec,
    embed_tokens: FrozenWeight,
    layers: Vec<TrainableLayer>,
    norm: Vec<f32>,
    /// Absent if tied to the embeddings.
    lm_head: Option<FrozenWeight>,
    modules: Vec<Module>,
    num_trainable_params: usize,
}

impl Network {
    /// Description of the model.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The trained modules.
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// Number of trainable parameters.
    #[must_use]
    pub fn num_trainable_params(&self) -> usize {
        self.num_trainable_params
    }

    /// Bytes of the frozen weights.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(TrainableLayer::bytes).sum();
        let lm_head = self.lm_head.as_ref().map_or(0, FrozenWeight::bytes);
        layers + self.embed_tokens.bytes() + lm_head
    }

    /// Returns the sum of the losses of a batch.
    #[must_use]
    pub fn loss(&self, params: &[f32], batch: &Batch) -> f64 {
        let pass = Pass {
            params,
            dropout_seed: None,
        };
        let context = BatchContext::new(&self.spec, batch);
        let mut x = self.embed(batch);
        for layer in &self.layers {
            layer.forward(&self.spec, &context, pass, &mut x, false);
        }
        self.lm_loss(batch, &x, None, 1.0)
    }

    /// Returns the sum of the losses of a batch of at least one token. Adds its gradient, times `grad_scale`, to `gradient`.
    ///
    /// `gradient` is as long as `params`.
    pub fn forward_backward(
        &self,
        params: &[f32],
        gradient: &mut [f32],
        batch: &Batch,
        mode: Mode,
        grad_scale: f32,
    ) -> f64 {
        let pass = Pass {
            params,
            dropout_seed: mode.dropout_seed,
        };
        let context = BatchContext::new(&self.spec, batch);
        let first = self
            .layers
            .iter()
            .position(TrainableLayer::is_trained)
            .unwrap_or(self.layers.len());
        let mut x = self.embed(batch);
        // Activations below the first trained layer are not needed again.
        let mut inputs = Vec::with_capacity(self.layers.len());
        let mut kept: Vec<Option<SavedActivations>> = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            if index >= first {
                inputs.push(x.clone());
            }
            let keep = index >= first && !mode.gradient_checkpointing;
            let saved = layer.forward(&self.spec, &context, pass, &mut x, keep);
            if index >= first {
                kept.push(saved);
            }
        }
        let mut grad_x = vec![0.0; x.len()];
        let loss = self.lm_loss(batch, &x, Some(&mut grad_x), grad_scale);
        drop(x);
        for (index, layer) in self.layers.iter().enumerate().skip(first).rev() {
            let (Some(input), Some(saved)) = (inputs.pop(), kept.pop()) else {
                break;
            };
            let saved = saved.unwrap_or_else(|| {
                let mut again = input.clone();
                layer
                    .forward(&self.spec, &context, pass, &mut again, true)
                    .unwrap_or_default()
            });
            layer.backward(
                &self.spec,
                &context,
                pass,
                gradient,
                &input,
                saved,
                &mut grad_x,
                index > first,
            );
        }
        loss
    }

    /// Reports whether inputs of frozen weights are rounded to bfloat16 on this processor.
    #[must_use]
    pub fn rounds_to_bf16(&self) -> bool {
        has_bf16_matmul() && self.layers.iter().any(TrainableLayer::rounds_to_bf16)
    }

    fn embed(&self, batch: &Batch) -> Vec<f32> {
        let mut x = vec![0.0; batch.tokens.len() * self.spec.hidden_size];
        for (token, out) in batch.tokens.iter().zip(x.chunks_exact_mut(self.spec.hidden_size)) {
            self.embed_tokens.read(*token as usize, 0, out);
            out.iter_mut()
                .for_each(|value| *value *= self.spec.embedding_multiplier);
        }
        x
    }

    /// Returns the loss of the last layer's output. Adds its gradient to `grad_x`.
    fn lm_loss(&self, batch: &Batch, x: &[f32], grad_x: Option<&mut [f32]>, grad_scale: f32) -> f64 {
        let hidden_size = self.spec.hidden_size;
        let labeled = || {
            batch
                .labels
                .iter()
                .enumerate()
                .filter_map(|(at, label)| label.map(|label| (at, label)))
        };
        let labels: Vec<u32> = labeled().map(|(_, label)| label).collect();
        let rows: Vec<f32> = labeled()
            .flat_map(|(at, _)| &x[at * hidden_size..(at + 1) * hidden_size])
            .copied()
            .collect();
        let normed = rms_norm(&rows, &self.norm, self.spec.rms_norm_eps);
        let lm_head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let cross_entropy = CrossEntropy {
            forward: &|out: Out<'_>, x: Mat<'_>| lm_head.forward(out, x),
            backward: &|out: Out<'_>, grad_logits: &[f32], tokens: usize| {
                lm_head.backward(out, grad_logits, tokens, self.spec.vocab_size);
            },
            vocab_size: self.spec.vocab_size,
            hidden_size,
            scale: self.spec.logit_scale,
            softcap: self.spec.final_logit_softcapping,
        };
        let Some(grad_x) = grad_x else {
            return cross_entropy.loss(&normed, &labels, None, grad_scale);
        };
        let mut grad_normed = vec![0.0; normed.len()];
        let loss = cross_entropy.loss(&normed, &labels, Some(&mut grad_normed), grad_scale);
        let mut grad_rows = vec![0.0; rows.len()];
        rms_norm_backward(
            &rows,
            &self.norm,
            self.spec.rms_norm_eps,
            &grad_normed,
            &mut grad_rows,
        );
        for ((at, _), row) in labeled().zip(grad_rows.chunks_exact(hidden_size)) {
            grad_x[at * hidden_size..(at + 1) * hidden_size].copy_from_slice(row);
        }
        loss
    }
}

//! One block of the decoder: the forward pass and its hand-written gradient.

use kernels::attention::CausalAttention;
use kernels::{
    gated_activation, gated_activation_backward, rms_norm, rms_norm_backward, rms_norm_row,
    rms_norm_row_backward, rotate, rotate_backward,
};
use model::Spec;
use model::config::LayerSpec;
use rayon::prelude::*;

use super::batch::{BatchContext, Pass};
use super::linear::MergedLinear;

/// Weights of one block.
#[derive(Debug)]
pub(crate) struct TrainableLayer {
    pub(crate) spec: LayerSpec,
    pub(crate) input_layernorm: Vec<f32>,
    pub(crate) qkv_proj: MergedLinear,
    /// Norms of queries and of keys, a head at a time.
    pub(crate) qk_norms: Option<(Vec<f32>, Vec<f32>)>,
    pub(crate) o_proj: MergedLinear,
    pub(crate) attn_output_norm: Option<Vec<f32>>,
    /// The norm before the feed-forward network.
    pub(crate) post_attention_layernorm: Vec<f32>,
    pub(crate) gate_up_proj: MergedLinear,
    pub(crate) down_proj: MergedLinear,
    pub(crate) mlp_output_norm: Option<Vec<f32>>,
}

/// Activations that a block keeps for its gradient.
#[derive(Debug, Default)]
pub(crate) struct SavedActivations {
    /// Queries, keys and values before norms of heads; empty without such norms.
    raw_qkv: Vec<f32>,
    /// Queries, keys and values as inputs of attention.
    qkv: Vec<f32>,
    attn_output: Vec<f32>,
    /// Output of attention's block before its norm; empty without such a norm.
    attn_update: Vec<f32>,
    /// The residual stream between attention and feed-forward network.
    middle: Vec<f32>,
    gate_up: Vec<f32>,
    /// Output of the feed-forward network before its norm; empty without such a norm.
    mlp_update: Vec<f32>,
}

impl TrainableLayer {
    fn projections(&self) -> [&MergedLinear; 4] {
        [&self.qkv_proj, &self.o_proj, &self.gate_up_proj, &self.down_proj]
    }

    pub(crate) fn bytes(&self) -> usize {
        self.projections().map(MergedLinear::bytes).iter().sum()
    }

    pub(crate) fn is_trained(&self) -> bool {
        self.projections().into_iter().any(MergedLinear::is_trained)
    }

    pub(crate) fn rounds_to_bf16(&self) -> bool {
        self.projections().into_iter().any(MergedLinear::rounds_to_bf16)
    }

    fn attention(&self, spec: &Spec) -> CausalAttention {
        CausalAttention {
            num_heads: spec.num_heads,
            num_kv_heads: spec.num_kv_heads,
            head_dim: spec.head_dim,
            scale: spec.attention_scale,
            softcap: spec.attn_logit_softcapping,
            sliding_window: self.spec.sliding_window,
        }
    }

    /// Adds the block's output to the residual stream `x`. With `keep` it returns the activations that its gradient needs.
    pub(crate) fn forward(
        &self,
        spec: &Spec,
        batch: &BatchContext,
        pass: Pass<'_>,
        x: &mut [f32],
        keep: bool,
    ) -> Option<SavedActivations> {
        let normed = rms_norm(x, &self.input_layernorm, spec.rms_norm_eps);
        let mut qkv = self.qkv_proj.forward(pass, &normed);
        drop(normed);
        let raw_qkv = if keep && self.qk_norms.is_some() {
            qkv.clone()
        } else {
            Vec::new()
        };
        self.norm_and_rotate(spec, batch, &mut qkv);
        let attn_output = self.attention(spec).forward(&batch.seq_lengths, &qkv);
        let update = self.o_proj.forward(pass, &attn_output);
        add_update(spec, x, &update, self.attn_output_norm.as_deref());
        let attn_update = if self.attn_output_norm.is_some() {
            update
        } else {
            Vec::new()
        };
        let middle = if keep { x.to_vec() } else { Vec::new() };

        let normed = rms_norm(x, &self.post_attention_layernorm, spec.rms_norm_eps);
        let gate_up = self.gate_up_proj.forward(pass, &normed);
        drop(normed);
        let inner = gated_activation(spec.activation, &gate_up, spec.intermediate_size);
        let update = self.down_proj.forward(pass, &inner);
        add_update(spec, x, &update, self.mlp_output_norm.as_deref());
        keep.then(|| SavedActivations {
            raw_qkv,
            qkv,
            attn_output,
            attn_update,
            middle,
            gate_up,
            mlp_update: if self.mlp_output_norm.is_some() {
                update
            } else {
                Vec::new()
            },
        })
    }

    /// Norms and rotates queries and keys.
    fn norm_and_rotate(&self, spec: &Spec, batch: &BatchContext, qkv: &mut [f32]) {
        let (cos, sin) = &batch.rope_tables[self.spec.rope];
        let pairs = cos.len() / batch.tokens().max(1);
        qkv.par_chunks_mut(self.attention(spec).qkv_size())
            .enumerate()
            .for_each(|(token, row)| {
                let at = token * pairs..(token + 1) * pairs;
                let queries_and_keys = (spec.num_heads + spec.num_kv_heads) * spec.head_dim;
                let heads = row[..queries_and_keys].chunks_exact_mut(spec.head_dim);
                for (head, values) in heads.enumerate() {
                    if let Some(weight) = self.head_norm(spec, head) {
                        rms_norm_row(values, weight, spec.rms_norm_eps);
                    }
                    rotate(values, &cos[at.clone()], &sin[at.clone()]);
                }
            });
    }

    /// Replaces the gradient after [`Layer::norm_and_rotate`] by the one before it.
    fn norm_and_rotate_backward(&self, spec: &Spec, batch: &BatchContext, raw: &[f32], grad_qkv: &mut [f32]) {
        let (cos, sin) = &batch.rope_tables[self.spec.rope];
        let pairs = cos.len() / batch.tokens().max(1);
        let width = self.attention(spec).qkv_size();
        grad_qkv
            .par_chunks_mut(width)
            .enumerate()
            .for_each(|(token, row)| {
                let at = token * pairs..(token + 1) * pairs;
                let queries_and_keys = (spec.num_heads + spec.num_kv_heads) * spec.head_dim;
                let heads = row[..queries_and_keys].chunks_exact_mut(spec.head_dim);
                for (head, values) in heads.enumerate() {
                    rotate_backward(values, &cos[at.clone()], &sin[at.clone()]);
                    if let Some(weight) = self.head_norm(spec, head) {
                        let raw = &raw[token * width + head * spec.head_dim..][..spec.head_dim];
                        let grad_out = values.to_vec();
                        values.fill(0.0);
                        rms_norm_row_backward(raw, weight, spec.rms_norm_eps, &grad_out, values);
                    }
                }
            });
    }

    fn head_norm(&self, spec: &Spec, head: usize) -> Option<&[f32]> {
        let (query, key) = self.qk_norms.as_ref()?;
        Some(if head < spec.num_heads { query } else { key })
    }

    /// Turns `grad_x` from the gradient of the block's output into that of its input `x`. Adds to the gradients of the LoRA
    /// matrices.
    ///
    /// Without `needed` no layer below uses `grad_x`, and it is left incomplete.
    #[expect(
        clippy::too_many_arguments,
        reason = "a gradient needs the arguments of the forward pass and the saved activations"
    )]
    pub(crate) fn backward(
        &self,
        spec: &Spec,
        batch: &BatchContext,
        pass: Pass<'_>,
        gradient: &mut [f32],
        x: &[f32],
        saved: SavedActivations,
        grad_x: &mut [f32],
        needed: bool,
    ) {
        let eps = spec.rms_norm_eps;
        let attention_is_trained = self.qkv_proj.is_trained() || self.o_proj.is_trained();
        let below = needed || attention_is_trained;

        let grad_update = update_backward(spec, grad_x, &saved.mlp_update, self.mlp_output_norm.as_deref());
        let inner = gated_activation(spec.activation, &saved.gate_up, spec.intermediate_size);
        let above = below || self.gate_up_proj.is_trained();
        let grad_inner = self
            .down_proj
            .backward(pass, gradient, &inner, &grad_update, above);
        drop(inner);
        if !above {
            return;
        }
        let mut grad_gate_up = saved.gate_up;
        gated_activation_backward(
            spec.activation,
            &mut grad_gate_up,
            spec.intermediate_size,
            &grad_inner,
        );
        drop(grad_inner);
        let normed = rms_norm(&saved.middle, &self.post_attention_layernorm, eps);
        let grad_normed = self
            .gate_up_proj
            .backward(pass, gradient, &normed, &grad_gate_up, below);
        if !below {
            return;
        }
        rms_norm_backward(
            &saved.middle,
            &self.post_attention_layernorm,
            eps,
            &grad_normed,
            grad_x,
        );
        drop((normed, grad_normed, grad_gate_up));

        let grad_update = update_backward(spec, grad_x, &saved.attn_update, self.attn_output_norm.as_deref());
        let above = needed || self.qkv_proj.is_trained();
        let grad_attn_output = self
            .o_proj
            .backward(pass, gradient, &saved.attn_output, &grad_update, above);
        if !above {
            return;
        }
        let mut grad_qkv = self
            .attention(spec)
            .backward(&batch.seq_lengths, &saved.qkv, &grad_attn_output);
        self.norm_and_rotate_backward(spec, batch, &saved.raw_qkv, &mut grad_qkv);
        let normed = rms_norm(x, &self.input_layernorm, eps);
        let grad_normed = self.qkv_proj.backward(pass, gradient, &normed, &grad_qkv, needed);
        if needed {
            rms_norm_backward(x, &self.input_layernorm, eps, &grad_normed, grad_x);
        }
    }
}

fn add_update(spec: &Spec, x: &mut [f32], update: &[f32], norm: Option<&[f32]>) {
    let normed = norm.map(|weight| rms_norm(update, weight, spec.rms_norm_eps));
    let update = normed.as_deref().unwrap_or(update);
    x.iter_mut()
        .zip(update)
        .for_each(|(x, update)| *x += update * spec.residual_multiplier);
}

/// Returns the gradient of an update before its norm, if it has one.
fn update_backward(spec: &Spec, grad_x: &[f32], update: &[f32], norm: Option<&[f32]>) -> Vec<f32> {
    let scaled: Vec<f32> = grad_x
        .iter()
        .map(|grad| grad * spec.residual_multiplier)
        .collect();
    let Some(weight) = norm else {
        return scaled;
    };
    let mut grad_update = vec![0.0; scaled.len()];
    rms_norm_backward(update, weight, spec.rms_norm_eps, &scaled, &mut grad_update);
    grad_update
}

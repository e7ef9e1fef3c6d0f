//! One block of the decoder: forward, and backward by hand.

use model::Spec;
use model::config::{LayerSpec, Rope};
use rayon::prelude::*;

use super::Batch;
use super::linear::Stack;
use super::lora::Pass;
use kernels::attention::CausalAttention;
use kernels::{
    gated_activation, gated_activation_backward, rms_norm, rms_norm_backward, rms_norm_row,
    rms_norm_row_backward, rotate, rotate_backward,
};

/// Weights of one block.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) spec: LayerSpec,
    pub(crate) before_attention: Vec<f32>,
    pub(crate) qkv: Stack,
    pub(crate) qk_norms: Option<(Vec<f32>, Vec<f32>)>,
    pub(crate) output: Stack,
    pub(crate) after_attention: Option<Vec<f32>>,
    pub(crate) before_mlp: Vec<f32>,
    pub(crate) gate_up: Stack,
    pub(crate) down: Stack,
    pub(crate) after_mlp: Option<Vec<f32>>,
}

/// What a block keeps for its derivative.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// Before norms of heads; empty where there are none.
    raw_qkv: Vec<f32>,
    /// As attention got them.
    qkv: Vec<f32>,
    attended: Vec<f32>,
    /// Before the norm after attention; empty where there is none.
    attention_update: Vec<f32>,
    /// The residual stream between the halves.
    middle: Vec<f32>,
    gate_up: Vec<f32>,
    /// Before the norm after the feed-forward network; empty where there is none.
    mlp_update: Vec<f32>,
}

/// What layers share of a batch.
#[derive(Debug)]
pub(crate) struct Batchwise {
    lengths: Vec<usize>,
    /// For each kind of angles, cosines and sines of each token.
    angles: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Batchwise {
    pub(crate) fn new(spec: &Spec, batch: &Batch) -> Self {
        let of = |rope: &Rope| {
            let angles = batch.lengths.iter().flat_map(|length| {
                let frequencies = rope.frequencies_for(*length);
                (0..*length).flat_map(move |position| frequencies.iter().map(move |f| position as f32 * f))
            });
            angles
                .map(|angle| (angle.cos() * rope.magnitude, angle.sin() * rope.magnitude))
                .unzip()
        };
        Self {
            lengths: batch.lengths.clone(),
            angles: spec.ropes.iter().map(of).collect(),
        }
    }

    fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }
}

impl Layer {
    fn stacks(&self) -> [&Stack; 4] {
        [&self.qkv, &self.output, &self.gate_up, &self.down]
    }

    pub(crate) fn bytes(&self) -> usize {
        self.stacks().map(Stack::bytes).iter().sum()
    }

    pub(crate) fn is_trained(&self) -> bool {
        self.stacks().into_iter().any(Stack::is_trained)
    }

    pub(crate) fn is_rounded(&self) -> bool {
        self.stacks().into_iter().any(Stack::is_rounded)
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

    /// Adds what the block has to say to the residual stream `x`; keeps what its derivative needs if asked to.
    pub(crate) fn forward(
        &self,
        spec: &Spec,
        batch: &Batchwise,
        pass: Pass<'_>,
        x: &mut [f32],
        keep: bool,
    ) -> Option<Saved> {
        let normed = rms_norm(x, &self.before_attention, spec.rms_norm_eps);
        let mut qkv = self.qkv.forward(pass, &normed);
        drop(normed);
        let raw_qkv = if keep && self.qk_norms.is_some() {
            qkv.clone()
        } else {
            Vec::new()
        };
        self.place(spec, batch, &mut qkv);
        let attended = self.attention(spec).forward(&batch.lengths, &qkv);
        let update = self.output.forward(pass, &attended);
        add_update(spec, x, &update, self.after_attention.as_deref());
        let attention_update = if self.after_attention.is_some() {
            update
        } else {
            Vec::new()
        };
        let middle = if keep { x.to_vec() } else { Vec::new() };

        let normed = rms_norm(x, &self.before_mlp, spec.rms_norm_eps);
        let gate_up = self.gate_up.forward(pass, &normed);
        drop(normed);
        let inner = gated_activation(spec.activation, &gate_up, spec.intermediate_size);
        let update = self.down.forward(pass, &inner);
        add_update(spec, x, &update, self.after_mlp.as_deref());
        keep.then(|| Saved {
            raw_qkv,
            qkv,
            attended,
            attention_update,
            middle,
            gate_up,
            mlp_update: if self.after_mlp.is_some() {
                update
            } else {
                Vec::new()
            },
        })
    }

    /// Norms and turns queries and keys.
    fn place(&self, spec: &Spec, batch: &Batchwise, qkv: &mut [f32]) {
        let (cos, sin) = &batch.angles[self.spec.rope];
        let pairs = cos.len() / batch.tokens().max(1);
        qkv.par_chunks_mut(self.attention(spec).qkv_size())
            .enumerate()
            .for_each(|(token, row)| {
                let at = token * pairs..(token + 1) * pairs;
                let turned = (spec.num_heads + spec.num_kv_heads) * spec.head_dim;
                for (head, values) in row[..turned].chunks_exact_mut(spec.head_dim).enumerate() {
                    if let Some(weight) = self.head_norm(spec, head) {
                        rms_norm_row(values, weight, spec.rms_norm_eps);
                    }
                    rotate(values, &cos[at.clone()], &sin[at.clone()]);
                }
            });
    }

    /// The derivative of what [`Layer::place`] was given, over that of what it made.
    fn place_backward(&self, spec: &Spec, batch: &Batchwise, raw: &[f32], dqkv: &mut [f32]) {
        let (cos, sin) = &batch.angles[self.spec.rope];
        let pairs = cos.len() / batch.tokens().max(1);
        let width = self.attention(spec).qkv_size();
        dqkv.par_chunks_mut(width).enumerate().for_each(|(token, row)| {
            let at = token * pairs..(token + 1) * pairs;
            let turned = (spec.num_heads + spec.num_kv_heads) * spec.head_dim;
            for (head, values) in row[..turned].chunks_exact_mut(spec.head_dim).enumerate() {
                rotate_backward(values, &cos[at.clone()], &sin[at.clone()]);
                if let Some(weight) = self.head_norm(spec, head) {
                    let raw = &raw[token * width + head * spec.head_dim..][..spec.head_dim];
                    let dy = values.to_vec();
                    values.fill(0.0);
                    rms_norm_row_backward(raw, weight, spec.rms_norm_eps, &dy, values);
                }
            }
        });
    }

    fn head_norm(&self, spec: &Spec, head: usize) -> Option<&[f32]> {
        let (query, key) = self.qk_norms.as_ref()?;
        Some(if head < spec.num_heads { query } else { key })
    }

    /// Turns the derivative `dx` of the block's output into that of its input `x`, and adds to those of the factors.
    ///
    /// Without `wanted` nothing below needs `dx`, and it is left as it is.
    #[expect(
        clippy::too_many_arguments,
        reason = "a derivative needs all the forward pass had, and what it kept"
    )]
    pub(crate) fn backward(
        &self,
        spec: &Spec,
        batch: &Batchwise,
        pass: Pass<'_>,
        grads: &mut [f32],
        x: &[f32],
        saved: Saved,
        dx: &mut [f32],
        wanted: bool,
    ) {
        let epsilon = spec.rms_norm_eps;
        let attention_is_trained = self.qkv.is_trained() || self.output.is_trained();
        let below = wanted || attention_is_trained;

        let dupdate = update_backward(spec, dx, &saved.mlp_update, self.after_mlp.as_deref());
        let inner = gated_activation(spec.activation, &saved.gate_up, spec.intermediate_size);
        let above = below || self.gate_up.is_trained();
        let dinner = self.down.backward(pass, grads, &inner, &dupdate, above);
        drop(inner);
        if !above {
            return;
        }
        let mut dgate_up = saved.gate_up;
        gated_activation_backward(spec.activation, &mut dgate_up, spec.intermediate_size, &dinner);
        drop(dinner);
        let normed = rms_norm(&saved.middle, &self.before_mlp, epsilon);
        let dnormed = self.gate_up.backward(pass, grads, &normed, &dgate_up, below);
        if !below {
            return;
        }
        rms_norm_backward(&saved.middle, &self.before_mlp, epsilon, &dnormed, dx);
        drop((normed, dnormed, dgate_up));

        let dupdate = update_backward(spec, dx, &saved.attention_update, self.after_attention.as_deref());
        let above = wanted || self.qkv.is_trained();
        let dattended = self
            .output
            .backward(pass, grads, &saved.attended, &dupdate, above);
        if !above {
            return;
        }
        let mut dqkv = self
            .attention(spec)
            .backward(&batch.lengths, &saved.qkv, &dattended);
        self.place_backward(spec, batch, &saved.raw_qkv, &mut dqkv);
        let normed = rms_norm(x, &self.before_attention, epsilon);
        let dnormed = self.qkv.backward(pass, grads, &normed, &dqkv, wanted);
        if wanted {
            rms_norm_backward(x, &self.before_attention, epsilon, &dnormed, dx);
        }
    }
}

fn add_update(spec: &Spec, x: &mut [f32], update: &[f32], after: Option<&[f32]>) {
    let normed = after.map(|weight| rms_norm(update, weight, spec.rms_norm_eps));
    let update = normed.as_deref().unwrap_or(update);
    x.iter_mut()
        .zip(update)
        .for_each(|(x, update)| *x += update * spec.residual_multiplier);
}

/// The derivative of an update before its norm, if it has one.
fn update_backward(spec: &Spec, dx: &[f32], update: &[f32], after: Option<&[f32]>) -> Vec<f32> {
    let scaled: Vec<f32> = dx.iter().map(|d| d * spec.residual_multiplier).collect();
    let Some(weight) = after else {
        return scaled;
    };
    let mut dupdate = vec![0.0; scaled.len()];
    rms_norm_backward(update, weight, spec.rms_norm_eps, &scaled, &mut dupdate);
    dupdate
}

//! One block of the decoder.

use kernels::attention::{CacheElement, CachedAttention};
use rayon::prelude::*;

use crate::cache::{Head, KvCache};
use crate::config::{LayerSpec, Spec};
use crate::linear::Linear;
use crate::lora::Routes;

/// Attention of fewer multiplications stays on one thread.
const PARALLEL_WORK: usize = 1 << 17;

/// Weights of one block.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) spec: LayerSpec,
    pub(crate) input_layernorm: Vec<f32>,
    /// Queries, keys and values in one module.
    pub(crate) qkv_proj: Linear,
    pub(crate) qk_norms: Option<(Vec<f32>, Vec<f32>)>,
    pub(crate) o_proj: Linear,
    pub(crate) attn_output_norm: Option<Vec<f32>>,
    /// The norm before the feed-forward network.
    pub(crate) post_attention_layernorm: Vec<f32>,
    /// Gate and up in one module.
    pub(crate) gate_up_proj: Linear,
    pub(crate) down_proj: Linear,
    pub(crate) mlp_output_norm: Option<Vec<f32>>,
}

/// One sequence in a step; its rows of the activations follow those of earlier sequences.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) cache: &'a mut KvCache,
    pub(crate) tokens: usize,
    /// For each rope, cosines and sines of each token.
    pub(crate) rope_tables: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Layer {
    pub(crate) fn bytes(&self) -> usize {
        self.qkv_proj.bytes() + self.o_proj.bytes() + self.gate_up_proj.bytes() + self.down_proj.bytes()
    }

    /// Adds the block's output to the residual stream `x`.
    pub(crate) fn forward(
        &self,
        spec: &Spec,
        index: usize,
        x: &mut [f32],
        parts: &mut [Part<'_>],
        routes: &Routes<'_>,
    ) {
        let rows = x.len() / spec.hidden_size;
        let before = kernels::rms_norm(x, &self.input_layernorm, spec.rms_norm_eps);
        let mut qkv = self.qkv_proj.apply(&before);
        routes.add(|lora| &lora.layers[index].qkv_proj, rows, &before, &mut qkv);
        self.update_cache(spec, index, &mut qkv, parts);
        let attn_output = self.attend(spec, index, &qkv, parts);
        let mut update = self.o_proj.apply(&attn_output);
        routes.add(|lora| &lora.layers[index].o_proj, rows, &attn_output, &mut update);
        self.add(spec, x, &mut update, self.attn_output_norm.as_deref());

        let before = kernels::rms_norm(x, &self.post_attention_layernorm, spec.rms_norm_eps);
        let mut gate_up = self.gate_up_proj.apply(&before);
        routes.add(
            |lora| &lora.layers[index].gate_up_proj,
            rows,
            &before,
            &mut gate_up,
        );
        let inner = kernels::gated_activation(spec.activation, &gate_up, spec.intermediate_size);
        let mut update = self.down_proj.apply(&inner);
        routes.add(|lora| &lora.layers[index].down_proj, rows, &inner, &mut update);
        self.add(spec, x, &mut update, self.mlp_output_norm.as_deref());
    }

    /// Norms and rotates queries and keys, and appends keys and values to the caches.
    fn update_cache(&self, spec: &Spec, index: usize, qkv: &mut [f32], parts: &mut [Part<'_>]) {
        let (queries, keys) = (spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim);
        let mut rows = qkv.chunks_exact_mut(queries + 2 * keys);
        for part in parts {
            let (cos, sin) = &part.rope_tables[self.spec.rope];
            let pairs = cos.len() / part.tokens;
            for (token, row) in rows.by_ref().take(part.tokens).enumerate() {
                let at = token * pairs..(token + 1) * pairs;
                for (head, values) in row[..queries + keys].chunks_exact_mut(spec.head_dim).enumerate() {
                    if let Some((query_norm, key_norm)) = &self.qk_norms {
                        let weight = if head < spec.num_heads {
                            query_norm
                        } else {
                            key_norm
                        };
                        kernels::rms_norm_row(values, weight, spec.rms_norm_eps);
                    }
                    kernels::rotate(values, &cos[at.clone()], &sin[at.clone()]);
                }
                let (keys, values) = row[queries..].split_at(keys);
                part.cache.push(index, keys, values);
            }
        }
    }

    /// Computes all heads of all sequences. `qkv` has a row for each token, of which the queries are read.
    fn attend(&self, spec: &Spec, index: usize, qkv: &[f32], parts: &[Part<'_>]) -> Vec<f32> {
        let row = (spec.num_heads + 2 * spec.num_kv_heads) * spec.head_dim;
        let width = spec.num_heads / spec.num_kv_heads * spec.head_dim;
        let mut first_row = 0;
        let mut jobs = Vec::with_capacity(parts.len() * spec.num_kv_heads);
        let mut work = 0;
        for part in parts {
            jobs.extend((0..spec.num_kv_heads).map(|head| (part, head, first_row)));
            first_row += part.tokens;
            work += part.tokens * (part.cache.len() + part.tokens) * spec.num_heads * spec.head_dim;
        }
        let job = |(part, head, first): &(&Part<'_>, usize, usize)| {
            let rows = qkv[first * row..].chunks_exact(row).take(part.tokens);
            let queries: Vec<f32> = rows
                .flat_map(|row| &row[head * width..(head + 1) * width])
                .copied()
                .collect();
            self.head(spec, index, part, *head, &queries)
        };
        let heads: Vec<Vec<f32>> = if work < PARALLEL_WORK {
            jobs.iter().map(job).collect()
        } else {
            jobs.par_iter().map(job).collect()
        };
        let mut out = vec![0.0; first_row * spec.num_heads * spec.head_dim];
        for ((part, head, first), values) in jobs.iter().zip(&heads) {
            let rows = out[first * spec.num_heads * spec.head_dim..]
                .chunks_exact_mut(spec.num_heads * spec.head_dim);
            for (out, values) in rows.take(part.tokens).zip(values.chunks_exact(width)) {
                out[head * width..(head + 1) * width].copy_from_slice(values);
            }
        }
        out
    }

    fn head(&self, spec: &Spec, index: usize, part: &Part<'_>, head: usize, queries: &[f32]) -> Vec<f32> {
        match part.cache.head(index, head) {
            Head::F32(keys, values) => self.attention(spec, index, part, queries, (keys, values)),
            Head::Bf16(keys, values) => self.attention(spec, index, part, queries, (keys, values)),
        }
    }

    fn attention<E: CacheElement>(
        &self,
        spec: &Spec,
        index: usize,
        part: &Part<'_>,
        queries: &[f32],
        (keys, values): (&[E], &[E]),
    ) -> Vec<f32> {
        let group = spec.num_heads / spec.num_kv_heads;
        let mut out = vec![0.0; queries.len()];
        let mut scores = vec![0.0; group * part.cache.filled(index)];
        CachedAttention {
            queries,
            keys,
            values,
            head_dim: spec.head_dim,
            group,
            first: part.cache.len(),
            sliding_window: self.spec.sliding_window,
            scale: spec.attention_scale,
            softcap: spec.attn_logit_softcapping,
            out: &mut out,
            scores: &mut scores,
        }
        .forward();
        out
    }

    fn add(&self, spec: &Spec, x: &mut [f32], update: &mut [f32], norm: Option<&[f32]>) {
        if let Some(weight) = norm {
            for token in update.chunks_exact_mut(spec.hidden_size) {
                kernels::rms_norm_row(token, weight, spec.rms_norm_eps);
            }
        }
        for (x, update) in x.iter_mut().zip(update) {
            *x += *update * spec.residual_multiplier;
        }
    }
}

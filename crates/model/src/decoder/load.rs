//! Loading of a decoder: names, shapes and merging of tensors, merging of adapters, precision.

use super::{Decoder, names};
use crate::adapter::Adapter;
use crate::config::{LayerSpec, Spec};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::linear::{Linear, Precision};
use crate::weights::TensorStore;

/// Receiver of the loaded share, from 0 to 1.
pub type ProgressFn<'a> = &'a (dyn Fn(f32) + Sync);

impl Decoder {
    /// Loads a model and merges adapters into it: `W + Σ strength · scale · B A`, exactly.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than in `spec`, reading fails, or an adapter does not fit.
    pub fn load(
        spec: Spec,
        store: &TensorStore,
        precision: Precision,
        adapters: &[Adapter],
        progress: ProgressFn<'_>,
    ) -> Result<Self> {
        let prefix = names::prefix(store)?;
        let loader = Loader {
            spec: &spec,
            store,
            precision,
            adapters,
            prefix: &prefix,
        };
        loader.check_adapters()?;
        let steps = (spec.layers.len() + 2) as f32;
        let embed_tokens = loader.embeddings()?;
        let wide = store.is_wide(&format!("{prefix}{}.weight", names::EMBEDDINGS));
        let cache_format = precision.cache_format(wide);
        progress(1.0 / steps);
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (index, layer) in spec.layers.iter().enumerate() {
            layers.push(loader.layer(index, *layer)?);
            progress((index + 2) as f32 / steps);
        }
        let lm_head = (!spec.tie_word_embeddings)
            .then(|| loader.lm_head())
            .transpose()?;
        let norm = loader.norm("norm", spec.hidden_size)?;
        progress(1.0);
        Ok(Self {
            embed_tokens,
            layers,
            norm,
            lm_head,
            prefix,
            cache_format,
            spec,
        })
    }
}

struct Loader<'a> {
    spec: &'a Spec,
    store: &'a TensorStore,
    precision: Precision,
    adapters: &'a [Adapter],
    prefix: &'a str,
}

impl Loader<'_> {
    fn layer(&self, index: usize, layer: LayerSpec) -> Result<Layer> {
        let spec = self.spec;
        let name = |part: &str| format!("layers.{index}.{part}");
        let modules = names::modules(spec, index);
        let norm = |part: &str| self.norm(&name(part), spec.hidden_size);
        let head_norm = |part: &str| self.norm(&name(part), spec.head_dim);
        // Gemma 2 has norms on both sides of a block, and gives the usual name of the second norm to another one.
        let before_mlp = if spec.sandwich_norms {
            "pre_feedforward_layernorm"
        } else {
            "post_attention_layernorm"
        };
        let sandwich = |part: &str| spec.sandwich_norms.then(|| norm(part)).transpose();
        Ok(Layer {
            spec: layer,
            input_layernorm: norm("input_layernorm")?,
            qkv_proj: self.linear(&modules.qkv_proj, spec.hidden_size, spec.qkv_bias)?,
            qk_norms: spec
                .qk_norm
                .then(|| Ok::<_, Error>((head_norm("self_attn.q_norm")?, head_norm("self_attn.k_norm")?)))
                .transpose()?,
            o_proj: self.linear(&modules.o_proj, spec.num_heads * spec.head_dim, spec.output_bias)?,
            attn_output_norm: sandwich("post_attention_layernorm")?,
            post_attention_layernorm: norm(before_mlp)?,
            gate_up_proj: self.linear(&modules.gate_up_proj, spec.hidden_size, spec.mlp_bias)?,
            down_proj: self.linear(&modules.down_proj, spec.intermediate_size, spec.mlp_bias)?,
            mlp_output_norm: sandwich("post_feedforward_layernorm")?,
        })
    }

    fn embeddings(&self) -> Result<Linear> {
        self.vocabulary(format!("{}{}", self.prefix, names::EMBEDDINGS))
    }

    /// Loads a module with a row for each token.
    fn vocabulary(&self, name: String) -> Result<Linear> {
        let precision = self.precision.of_vocabulary();
        self.merged(
            &[(name, self.spec.vocab_size)],
            self.spec.hidden_size,
            false,
            precision,
        )
    }

    fn lm_head(&self) -> Result<Linear> {
        let [beside, alone] = names::lm_heads(self.prefix);
        let name = if self.store.contains(&format!("{beside}.weight")) {
            beside
        } else {
            alone
        };
        self.vocabulary(name)
    }

    fn norm(&self, name: &str, size: usize) -> Result<Vec<f32>> {
        let name = format!("{}{name}.weight", self.prefix);
        let mut weight = self.store.read_shaped(&name, &[size])?.into_f32();
        weight
            .iter_mut()
            .for_each(|value| *value += self.spec.norm_offset);
        Ok(weight)
    }

    fn linear(&self, modules: &[(String, usize)], inputs: usize, biased: bool) -> Result<Linear> {
        let full: Vec<(String, usize)> = modules
            .iter()
            .map(|(name, outputs)| (format!("{}{name}", self.prefix), *outputs))
            .collect();
        self.merged(&full, inputs, biased, self.precision)
    }

    /// Merges modules with the same inputs into one.
    fn merged(
        &self,
        modules: &[(String, usize)],
        inputs: usize,
        biased: bool,
        precision: Precision,
    ) -> Result<Linear> {
        for (module, outputs) in modules {
            self.store
                .check(&format!("{module}.weight"), &[*outputs, inputs])?;
        }
        let outputs = modules.iter().map(|(_, outputs)| outputs).sum();
        let wide = self.store.is_wide(&format!("{}.weight", modules[0].0));
        let mut weights = precision.zeros(wide, outputs, inputs);
        let mut first = 0;
        let mut bias = Vec::new();
        for (module, outputs) in modules {
            let mut rows = self
                .store
                .read_shaped(&format!("{module}.weight"), &[*outputs, inputs])?
                .into_f32();
            for adapter in self.adapters {
                adapter.merge(module, &mut rows, *outputs, inputs)?;
            }
            weights.write(first, &rows);
            first += outputs;
            if biased {
                bias.extend(
                    self.store
                        .read_shaped(&format!("{module}.bias"), &[*outputs])?
                        .into_f32(),
                );
            }
        }
        Ok(Linear::new(weights, biased.then_some(bias)))
    }

    fn check_adapters(&self) -> Result<()> {
        for adapter in self.adapters {
            let known = |module: &str| self.store.contains(&format!("{module}.weight"));
            if let Some(unknown) = adapter.modules().find(|module| !known(module)) {
                return Err(adapter.unknown_module(unknown));
            }
        }
        Ok(())
    }
}

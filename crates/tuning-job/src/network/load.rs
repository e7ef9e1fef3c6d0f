//! Loading of a [`Network`]: names and shapes of tensors, trained modules and the initial values of their LoRA matrices.

use kernels::Random;
use model::config::LayerSpec;
use model::{Spec, TensorStore};

use super::Network;
use super::frozen::{FrozenWeight, Precision};
use super::layer::TrainableLayer;
use super::linear::{Linear, MergedLinear};
use super::lora::Lora;
use super::module::Module;
use super::options::{LoadError, LoadOptions, ends_with, pattern, resolve_target_modules};

/// Name of the embeddings below the prefix of all names.
const EMBEDDINGS: &str = "embed_tokens.weight";

impl Network {
    /// Loads a model. Also returns the initial trainable parameters.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than in `spec`, reading fails, or no module can be trained.
    pub fn load(
        spec: Spec,
        store: &TensorStore,
        options: &LoadOptions,
        progress: &dyn Fn(f32),
    ) -> Result<(Self, Vec<f32>), LoadError> {
        let targets = resolve_target_modules(&spec, &options.lora.target_modules)?;
        let mut loader = Loader {
            spec: &spec,
            store,
            options,
            prefix: prefix(store)?,
            targets,
            modules: Vec::new(),
            num_params: 0,
        };
        let steps = (spec.layers.len() + 2) as f32;
        let embed_tokens = loader.embed_tokens()?;
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (index, layer) in spec.layers.iter().enumerate() {
            layers.push(loader.layer(index, *layer)?);
            progress((index + 1) as f32 / steps);
        }
        let lm_head = if spec.tie_word_embeddings {
            None
        } else {
            Some(loader.lm_head()?)
        };
        let norm = loader.norm("norm", spec.hidden_size)?;
        progress(1.0);
        let (modules, num_trainable_params) = (loader.modules, loader.num_params);
        if modules.is_empty() {
            return Err(LoadError::Nothing {
                layers: spec.layers.len(),
            });
        }
        let params = initial_params(&modules, num_trainable_params, options);
        let network = Self {
            embed_tokens,
            layers,
            norm,
            lm_head,
            modules,
            num_trainable_params,
            spec,
        };
        Ok((network, params))
    }
}

/// Returns the initial parameters of PEFT: `A` uniform within ±1/√in_features (Kaiming with a = √5) or normal with deviation
/// 1/rank, `B` zero.
fn initial_params(modules: &[Module], count: usize, options: &LoadOptions) -> Vec<f32> {
    let mut params = vec![0.0; count];
    for (index, module) in modules.iter().enumerate() {
        let mut random = Random::new(&[options.seed, 0x0a, index as u64]);
        let bound = (module.in_features as f64).sqrt().recip();
        for value in &mut params[module.lora_a..module.lora_a + module.rank * module.in_features] {
            let drawn = if options.lora.gaussian_init {
                random.normal() / module.rank as f64
            } else {
                (2.0 * random.unit() - 1.0) * bound
            };
            *value = drawn as f32;
        }
    }
    params
}

fn prefix(store: &TensorStore) -> Result<String, LoadError> {
    let mut names: Vec<&str> = store
        .names()
        .filter_map(|name| name.strip_suffix(EMBEDDINGS))
        .collect();
    names.sort_by_key(|name| name.len());
    let missing = || model::Error::MissingTensor {
        name: format!("model.{EMBEDDINGS}"),
    };
    Ok(names.first().map(|name| (*name).to_owned()).ok_or_else(missing)?)
}

struct Loader<'a> {
    spec: &'a Spec,
    store: &'a TensorStore,
    options: &'a LoadOptions,
    prefix: String,
    targets: Vec<String>,
    modules: Vec<Module>,
    num_params: usize,
}

impl Loader<'_> {
    fn layer(&mut self, index: usize, layer: LayerSpec) -> Result<TrainableLayer, LoadError> {
        let spec = self.spec;
        let name = |part: &str| format!("layers.{index}.{part}");
        let (queries, keys, inner) = (
            spec.num_heads * spec.head_dim,
            spec.num_kv_heads * spec.head_dim,
            spec.intermediate_size,
        );
        let (qkv, gate_up) = if spec.fused_projections {
            (
                vec![("self_attn.qkv_proj", queries + 2 * keys)],
                vec![("mlp.gate_up_proj", 2 * inner)],
            )
        } else {
            (
                vec![
                    ("self_attn.q_proj", queries),
                    ("self_attn.k_proj", keys),
                    ("self_attn.v_proj", keys),
                ],
                vec![("mlp.gate_proj", inner), ("mlp.up_proj", inner)],
            )
        };
        let (output, down) = (
            [("self_attn.o_proj", spec.hidden_size)],
            [("mlp.down_proj", spec.hidden_size)],
        );
        // Gemma 2 has norms on both sides of a block, and gives the usual name of the second norm to another one.
        let before_mlp = if spec.sandwich_norms {
            "pre_feedforward_layernorm"
        } else {
            "post_attention_layernorm"
        };
        let sandwich = |part: &str| {
            spec.sandwich_norms
                .then(|| self.norm(&name(part), spec.hidden_size))
                .transpose()
        };
        let head_norm = |part: &str| self.norm(&name(part), spec.head_dim);
        let qk_norms = if spec.qk_norm {
            Some((head_norm("self_attn.q_norm")?, head_norm("self_attn.k_norm")?))
        } else {
            None
        };
        Ok(TrainableLayer {
            spec: layer,
            input_layernorm: self.norm(&name("input_layernorm"), spec.hidden_size)?,
            qk_norms,
            attn_output_norm: sandwich("post_attention_layernorm")?,
            post_attention_layernorm: self.norm(&name(before_mlp), spec.hidden_size)?,
            mlp_output_norm: sandwich("post_feedforward_layernorm")?,
            qkv_proj: self.merged(index, &qkv, spec.hidden_size, spec.qkv_bias)?,
            o_proj: self.merged(index, &output, queries, spec.output_bias)?,
            gate_up_proj: self.merged(index, &gate_up, spec.hidden_size, spec.mlp_bias)?,
            down_proj: self.merged(index, &down, inner, spec.mlp_bias)?,
        })
    }

    fn norm(&self, name: &str, size: usize) -> Result<Vec<f32>, LoadError> {
        let name = format!("{}{name}.weight", self.prefix);
        let mut weight = self.store.read_shaped(&name, &[size])?.into_f32();
        weight
            .iter_mut()
            .for_each(|value| *value += self.spec.norm_offset);
        Ok(weight)
    }

    fn embed_tokens(&self) -> Result<FrozenWeight, LoadError> {
        self.frozen(
            &format!("{}embed_tokens", self.prefix),
            self.spec.vocab_size,
            self.spec.hidden_size,
            self.options.other_precision,
        )
    }

    /// Loads the output projection, whose name has no `model.` in its prefix.
    fn lm_head(&self) -> Result<FrozenWeight, LoadError> {
        let beside = self.prefix.strip_suffix("model.").unwrap_or(&self.prefix);
        let name = format!("{beside}lm_head");
        let name = if self.store.contains(&format!("{name}.weight")) {
            name
        } else {
            "lm_head".to_owned()
        };
        self.frozen(
            &name,
            self.spec.vocab_size,
            self.spec.hidden_size,
            self.options.other_precision,
        )
    }

    fn frozen(
        &self,
        module: &str,
        outputs: usize,
        inputs: usize,
        precision: Option<Precision>,
    ) -> Result<FrozenWeight, LoadError> {
        let name = format!("{module}.weight");
        let stored = if self.store.is_wide(&name) {
            Precision::F32
        } else {
            Precision::Bf16
        };
        let values = self.store.read_shaped(&name, &[outputs, inputs])?.into_f32();
        let precision = precision.unwrap_or(stored);
        Ok(FrozenWeight::new(
            values,
            inputs,
            precision,
            self.options.compute_dtype,
        ))
    }

    fn merged(
        &mut self,
        layer: usize,
        parts: &[(&str, usize)],
        inputs: usize,
        biased: bool,
    ) -> Result<MergedLinear, LoadError> {
        let mut linears = Vec::with_capacity(parts.len());
        for (part, outputs) in parts {
            let name = format!("{}layers.{layer}.{part}", self.prefix);
            let is_skipped = self
                .options
                .skip_modules
                .iter()
                .any(|skip| ends_with(&name, skip));
            let precision = if is_skipped {
                self.options.other_precision
            } else {
                self.options.linear_precision
            };
            let bias = if biased {
                Some(
                    self.store
                        .read_shaped(&format!("{name}.bias"), &[*outputs])?
                        .into_f32(),
                )
            } else {
                None
            };
            linears.push(Linear {
                weight: self.frozen(&name, *outputs, inputs, precision)?,
                bias,
                lora: self.lora(layer, &name, inputs, *outputs)?,
            });
        }
        Ok(MergedLinear(linears))
    }

    /// Assigns places to the LoRA matrices of a module, if it is trained.
    fn lora(
        &mut self,
        layer: usize,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Option<Lora>, LoadError> {
        let lora = &self.options.lora;
        let is_in_layers = lora
            .layers_to_transform
            .as_ref()
            .is_none_or(|layers| layers.contains(&layer));
        if !is_in_layers || !self.targets.iter().any(|target| ends_with(name, target)) {
            return Ok(None);
        }
        let rank = pattern(&lora.rank.1, name).unwrap_or(lora.rank.0);
        let alpha = pattern(&lora.alpha.1, name).unwrap_or(lora.alpha.0);
        let limit = inputs.min(outputs);
        if rank == 0 || rank > limit {
            return Err(LoadError::Rank {
                module: name.to_owned(),
                rank,
                limit,
            });
        }
        let divisor = if lora.use_rslora {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        let lora_a = self.num_params..self.num_params + rank * inputs;
        let lora_b = lora_a.end..lora_a.end + outputs * rank;
        self.num_params = lora_b.end;
        let scaling = (alpha / divisor) as f32;
        self.modules.push(Module {
            name: name.to_owned(),
            in_features: inputs,
            out_features: outputs,
            rank,
            scaling,
            lora_a: lora_a.start,
            lora_b: lora_b.start,
        });
        let dropout = lora.dropout;
        Ok(Some(Lora {
            rank,
            scaling,
            dropout,
            lora_a,
            lora_b,
        }))
    }
}

//! From a model's directory to a [`Network`]: names, shapes, which modules are trained, how their factors begin.

use model::config::LayerSpec;
use model::{Spec, TensorStore};

use super::frozen::{Frozen, Precision};
use super::layer::Layer;
use super::linear::{Linear, Stack};
use super::lora::Lora as Factors;
use super::settings::{LoadError, LoadSettings, ends_with, pattern, trained_modules};
use super::{Module, Network};
use kernels::Random;

/// The name of the embeddings below the prefix that a family puts before everything.
const EMBEDDINGS: &str = "embed_tokens.weight";
impl Network {
    /// Loads a model; also returns the trained values as they begin.
    ///
    /// # Errors
    /// When a tensor is missing or of another shape than `spec` says, reading fails, or nothing can be trained as configured.
    pub fn load(
        spec: Spec,
        store: &TensorStore,
        settings: &LoadSettings,
        progress: &dyn Fn(f32),
    ) -> Result<(Self, Vec<f32>), LoadError> {
        let targets = trained_modules(&spec, &settings.lora.targets)?;
        let mut loader = Loader {
            spec: &spec,
            store,
            settings,
            prefix: prefix(store)?,
            targets,
            modules: Vec::new(),
            trained: 0,
        };
        let steps = (spec.layers.len() + 2) as f32;
        let embeddings = loader.embeddings()?;
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (index, layer) in spec.layers.iter().enumerate() {
            layers.push(loader.layer(index, *layer)?);
            progress((index + 1) as f32 / steps);
        }
        let head = if spec.tie_word_embeddings {
            None
        } else {
            Some(loader.head()?)
        };
        let norm = loader.norm("norm", spec.hidden_size)?;
        progress(1.0);
        let (modules, trained) = (loader.modules, loader.trained);
        if modules.is_empty() {
            return Err(LoadError::Nothing {
                layers: spec.layers.len(),
            });
        }
        let values = beginning(&modules, trained, settings);
        let network = Self {
            embeddings,
            layers,
            norm,
            head,
            modules,
            trained,
            spec,
        };
        Ok((network, values))
    }
}

/// `A` as PEFT draws it, evenly within ±1/√inputs (Kaiming with a = √5) or normally with deviation 1/rank; `B` zero.
fn beginning(modules: &[Module], trained: usize, settings: &LoadSettings) -> Vec<f32> {
    let mut values = vec![0.0; trained];
    for (index, module) in modules.iter().enumerate() {
        let mut random = Random::new(&[settings.seed, 0x0a, index as u64]);
        let bound = (module.inputs as f64).sqrt().recip();
        for value in &mut values[module.a..module.a + module.rank * module.inputs] {
            let drawn = if settings.lora.gaussian {
                random.normal() / module.rank as f64
            } else {
                (2.0 * random.unit() - 1.0) * bound
            };
            *value = drawn as f32;
        }
    }
    values
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
    settings: &'a LoadSettings,
    prefix: String,
    targets: Vec<String>,
    modules: Vec<Module>,
    trained: usize,
}

impl Loader<'_> {
    fn layer(&mut self, index: usize, layer: LayerSpec) -> Result<Layer, LoadError> {
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
        // With norms on both sides of a block the names shift: Gemma 2 calls the second one what others call the first.
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
        Ok(Layer {
            spec: layer,
            before_attention: self.norm(&name("input_layernorm"), spec.hidden_size)?,
            qk_norms,
            after_attention: sandwich("post_attention_layernorm")?,
            before_mlp: self.norm(&name(before_mlp), spec.hidden_size)?,
            after_mlp: sandwich("post_feedforward_layernorm")?,
            qkv: self.stack(index, &qkv, spec.hidden_size, spec.qkv_bias)?,
            output: self.stack(index, &output, queries, spec.output_bias)?,
            gate_up: self.stack(index, &gate_up, spec.hidden_size, spec.mlp_bias)?,
            down: self.stack(index, &down, inner, spec.mlp_bias)?,
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

    fn embeddings(&self) -> Result<Frozen, LoadError> {
        self.frozen(
            &format!("{}embed_tokens", self.prefix),
            self.spec.vocab_size,
            self.spec.hidden_size,
            self.settings.rest,
        )
    }

    /// The output embeddings; they lie beside what has the prefix, not below it.
    fn head(&self) -> Result<Frozen, LoadError> {
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
            self.settings.rest,
        )
    }

    fn frozen(
        &self,
        module: &str,
        outputs: usize,
        inputs: usize,
        precision: Option<Precision>,
    ) -> Result<Frozen, LoadError> {
        let name = format!("{module}.weight");
        let stored = if self.store.is_wide(&name) {
            Precision::F32
        } else {
            Precision::Bf16
        };
        let values = self.store.read_shaped(&name, &[outputs, inputs])?.into_f32();
        let precision = precision.unwrap_or(stored);
        Ok(Frozen::new(values, inputs, precision, self.settings.quantised))
    }

    fn stack(
        &mut self,
        layer: usize,
        parts: &[(&str, usize)],
        inputs: usize,
        biased: bool,
    ) -> Result<Stack, LoadError> {
        let mut linears = Vec::with_capacity(parts.len());
        for (part, outputs) in parts {
            let name = format!("{}layers.{layer}.{part}", self.prefix);
            let is_skipped = self.settings.skip.iter().any(|skip| ends_with(&name, skip));
            let precision = if is_skipped {
                self.settings.rest
            } else {
                self.settings.linear
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
                frozen: self.frozen(&name, *outputs, inputs, precision)?,
                bias,
                lora: self.lora(layer, &name, inputs, *outputs)?,
            });
        }
        Ok(Stack(linears))
    }

    /// Plans the factors of a module, if it is trained.
    fn lora(
        &mut self,
        layer: usize,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Option<Factors>, LoadError> {
        let lora = &self.settings.lora;
        let is_in_layers = lora.layers.as_ref().is_none_or(|layers| layers.contains(&layer));
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
        let divisor = if lora.rslora {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        let a = self.trained..self.trained + rank * inputs;
        let b = a.end..a.end + outputs * rank;
        self.trained = b.end;
        let scale = (alpha / divisor) as f32;
        self.modules.push(Module {
            name: name.to_owned(),
            inputs,
            outputs,
            rank,
            scale,
            a: a.start,
            b: b.start,
        });
        let dropout = lora.dropout;
        Ok(Some(Factors {
            rank,
            scale,
            dropout,
            a,
            b,
        }))
    }
}

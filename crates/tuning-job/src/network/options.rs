//! Options of loading and training that are known before anything is loaded. Pure.

use std::collections::BTreeMap;

use kernels::matmul::ComputeDtype;
use model::Spec;

use super::frozen::Precision;

/// Modules of a layer in families with separate projections.
const SEPARATE: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];
/// Modules of a layer in families with fused projections.
const FUSED: [&str; 4] = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"];

/// Problem with a model or with the modules to train.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The model's files are unusable.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// A module to train does not exist.
    #[error("LoraConfig.target_modules: the model has no module `{name}`; it has {known}")]
    NoModule {
        /// The configured name.
        name: String,
        /// The model's modules.
        known: String,
    },
    /// No module would be trained.
    #[error(
        "LoraConfig: no module is left to train: layers_to_transform names none of the model's {layers} layers"
    )]
    Nothing {
        /// Layers of the model.
        layers: usize,
    },
    /// A rank is larger than the module.
    #[error("LoraConfig: module `{module}` would get rank {rank}, above its own {limit}")]
    Rank {
        /// The module.
        module: String,
        /// The configured rank.
        rank: usize,
        /// The smaller side of its weight.
        limit: usize,
    },
}

/// Selection of the modules to train.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleSelection {
    /// PEFT's default: queries and values.
    Default,
    /// Every linear module of the layers.
    AllLinear,
    /// Modules with these names, or whose name ends with one of them at a dot.
    Named(Vec<String>),
}

/// Options of the LoRA matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraOptions {
    /// The modules.
    pub target_modules: ModuleSelection,
    /// The layers; all when absent.
    pub layers_to_transform: Option<Vec<usize>>,
    /// Rank, and others by name.
    pub rank: (usize, BTreeMap<String, usize>),
    /// Alpha, and others by name.
    pub alpha: (f64, BTreeMap<String, f64>),
    /// Divides alpha by the root of the rank.
    pub use_rslora: bool,
    /// Probability that an input is dropped.
    pub dropout: f32,
    /// Initializes `A` from a normal distribution instead of a uniform one.
    pub gaussian_init: bool,
}

/// Options of loading a model.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Precision of linear modules; the file's precision when absent.
    pub linear_precision: Option<Precision>,
    /// Precision of embeddings and of modules that are not quantized; the file's precision when absent.
    pub other_precision: Option<Precision>,
    /// Compute type of products with quantized weights.
    pub compute_dtype: ComputeDtype,
    /// Names of modules that are not quantized.
    pub skip_modules: Vec<String>,
    /// The LoRA matrices.
    pub lora: LoraOptions,
    /// Seed of their initial values.
    pub seed: u64,
}

/// Returns the kinds of modules to train. Names of separate projections become those of fused ones where the model has these.
///
/// # Errors
/// When a configured module does not exist.
pub fn resolve_target_modules(spec: &Spec, selection: &ModuleSelection) -> Result<Vec<String>, LoadError> {
    let fused = spec.fused_projections;
    let known: &[&str] = if fused { &FUSED } else { &SEPARATE };
    let named = match selection {
        ModuleSelection::AllLinear => known.iter().map(|name| (*name).to_owned()).collect(),
        ModuleSelection::Default if fused => vec!["qkv_proj".to_owned()],
        ModuleSelection::Default => vec!["q_proj".to_owned(), "v_proj".to_owned()],
        ModuleSelection::Named(names) => names.clone(),
    };
    let mut modules: Vec<String> = Vec::new();
    for name in named {
        let last = name.rsplit('.').next().unwrap_or_default();
        let module = match last {
            "q_proj" | "k_proj" | "v_proj" if fused => "qkv_proj".to_owned(),
            "gate_proj" | "up_proj" if fused => "gate_up_proj".to_owned(),
            last if known.contains(&last) => name,
            _ => {
                let known = known.join(", ");
                return Err(LoadError::NoModule { name, known });
            }
        };
        if !modules.contains(&module) {
            modules.push(module);
        }
    }
    Ok(modules)
}

/// Reports whether a module has this name, or its name ends with it at a dot.
pub(super) fn ends_with(module: &str, name: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns the value of the first pattern that ends the module's name.
pub(super) fn pattern<T: Copy>(patterns: &BTreeMap<String, T>, module: &str) -> Option<T> {
    patterns
        .iter()
        .find(|(name, _)| ends_with(module, name))
        .map(|(_, value)| *value)
}

/// Returns the number of trainable parameters. Ranks by name count as the highest of them.
///
/// # Errors
/// When a configured module does not exist.
pub fn num_trainable_params(spec: &Spec, lora: &LoraOptions) -> Result<usize, LoadError> {
    let (queries, keys) = (spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim);
    let (inner, hidden) = (spec.intermediate_size, spec.hidden_size);
    let sides = |module: &str| match module {
        "q_proj" | "o_proj" => queries + hidden,
        "k_proj" | "v_proj" => keys + hidden,
        "qkv_proj" => queries + 2 * keys + hidden,
        "gate_up_proj" => hidden + 2 * inner,
        _ => hidden + inner,
    };
    let rank = lora.rank.1.values().copied().fold(lora.rank.0, usize::max);
    let layers = lora
        .layers_to_transform
        .as_ref()
        .map_or(spec.layers.len(), |layers| layers.len().min(spec.layers.len()));
    let modules = resolve_target_modules(spec, &lora.target_modules)?;
    let of_layer: usize = modules
        .iter()
        .map(|name| sides(name.rsplit('.').next().unwrap_or_default()))
        .sum();
    Ok(of_layer * rank * layers)
}

//! What is trained and how, as far as it is known before anything is loaded. Pure.

use std::collections::BTreeMap;

use model::Spec;

use super::frozen::Precision;
use kernels::matmul::ComputeDtype;

/// The modules of a layer, as families with and without fused tensors have them.
const SPLIT: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];
const FUSED: [&str; 4] = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"];

/// Why a model cannot be made ready for training.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its files cannot be used.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// A module that is to be trained does not exist.
    #[error("LoraConfig.target_modules: the model has no module `{name}`; it has {known}")]
    NoModule {
        /// As configured.
        name: String,
        /// What there is.
        known: String,
    },
    /// Nothing would be trained.
    #[error(
        "LoraConfig: no module is left to train: layers_to_transform names none of the model's {layers} layers"
    )]
    Nothing {
        /// Layers of the model.
        layers: usize,
    },
    /// A rank that makes no sense.
    #[error("LoraConfig: module `{module}` would get rank {rank}, above its own {limit}")]
    Rank {
        /// The module.
        module: String,
        /// Configured rank.
        rank: usize,
        /// The smaller side of its weight.
        limit: usize,
    },
}

/// Which modules are trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// What PEFT trains when nothing is said: queries and values.
    Default,
    /// Every linear module of the layers.
    All,
    /// Those whose name is this or ends with it at a dot.
    Named(Vec<String>),
}

/// How modules are trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Which ones.
    pub targets: Targets,
    /// In which layers; all when absent.
    pub layers: Option<Vec<usize>>,
    /// Rank, and others by name.
    pub rank: (usize, BTreeMap<String, usize>),
    /// Alpha, and others by name.
    pub alpha: (f64, BTreeMap<String, f64>),
    /// Alpha is divided by the root of the rank.
    pub rslora: bool,
    /// Share of inputs that are dropped.
    pub dropout: f32,
    /// `A` begins normally distributed instead of evenly.
    pub gaussian: bool,
}

/// How a model is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadSettings {
    /// What linear modules are kept in; as they are stored when absent.
    pub linear: Option<Precision>,
    /// What embeddings are kept in, and modules that are not to be quantised; as they are stored when absent.
    pub rest: Option<Precision>,
    /// How products with quantised weights are computed; what bitsandbytes calls the compute type.
    pub quantised: ComputeDtype,
    /// Names of modules that are not quantised.
    pub skip: Vec<String>,
    /// What is trained.
    pub lora: Lora,
    /// Decides how factors begin.
    pub seed: u64,
}

/// The kinds of modules that will be trained, and what was changed about the configured ones.
///
/// # Errors
/// When a configured module does not exist.
pub fn trained_modules(spec: &Spec, targets: &Targets) -> Result<Vec<String>, LoadError> {
    let known: &[&str] = if spec.fused_projections { &FUSED } else { &SPLIT };
    let named = match targets {
        Targets::All => known.iter().map(|name| (*name).to_owned()).collect(),
        Targets::Default if spec.fused_projections => vec!["qkv_proj".to_owned()],
        Targets::Default => vec!["q_proj".to_owned(), "v_proj".to_owned()],
        Targets::Named(names) => names.clone(),
    };
    let mut out: Vec<String> = Vec::new();
    for name in named {
        let last = name.rsplit('.').next().unwrap_or_default();
        // Models that store several maps as one have no modules of the usual names; what is meant is the one they are in.
        let real = match last {
            "q_proj" | "k_proj" | "v_proj" if spec.fused_projections => "qkv_proj".to_owned(),
            "gate_proj" | "up_proj" if spec.fused_projections => "gate_up_proj".to_owned(),
            last if known.contains(&last) => name,
            _ => {
                let known = known.join(", ");
                return Err(LoadError::NoModule { name, known });
            }
        };
        if !out.contains(&real) {
            out.push(real);
        }
    }
    Ok(out)
}

/// Whether a module is named so, or its name ends so at a dot.
pub(super) fn ends_with(module: &str, name: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The value of the first pattern that ends the module's name.
pub(super) fn pattern<T: Copy>(patterns: &BTreeMap<String, T>, module: &str) -> Option<T> {
    patterns
        .iter()
        .find(|(name, _)| ends_with(module, name))
        .map(|(_, value)| *value)
}

/// Number of values that would be trained; ranks by name count as the highest of them.
///
/// # Errors
/// When a configured module does not exist.
pub fn planned(spec: &Spec, lora: &Lora) -> Result<usize, LoadError> {
    let (queries, keys, inner, hidden) = (
        spec.num_heads * spec.head_dim,
        spec.num_kv_heads * spec.head_dim,
        spec.intermediate_size,
        spec.hidden_size,
    );
    let sides = |module: &str| match module {
        "q_proj" | "o_proj" => queries + hidden,
        "k_proj" | "v_proj" => keys + hidden,
        "qkv_proj" => queries + 2 * keys + hidden,
        "gate_up_proj" => hidden + 2 * inner,
        _ => hidden + inner,
    };
    let rank = lora.rank.1.values().copied().fold(lora.rank.0, usize::max);
    let layers = lora
        .layers
        .as_ref()
        .map_or(spec.layers.len(), |layers| layers.len().min(spec.layers.len()));
    let modules = trained_modules(spec, &lora.targets)?;
    let of_layer: usize = modules
        .iter()
        .map(|name| sides(name.rsplit('.').next().unwrap_or_default()))
        .sum();
    Ok(of_layer * rank * layers)
}

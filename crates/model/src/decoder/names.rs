//! Names of a model's modules, and the modules that are merged here. Reads no weights.

use crate::config::Spec;
use crate::error::{Error, Result};
use crate::weights::TensorStore;

/// Name of the embeddings below the prefix of all names.
pub(super) const EMBEDDINGS: &str = "embed_tokens";

/// Linear modules of one block: for each the modules that are merged into it, with their outputs.
#[derive(Debug)]
pub(super) struct Modules {
    pub(super) qkv_proj: Vec<(String, usize)>,
    pub(super) o_proj: Vec<(String, usize)>,
    pub(super) gate_up_proj: Vec<(String, usize)>,
    pub(super) down_proj: Vec<(String, usize)>,
}

/// Returns names below the prefix.
pub(super) fn modules(spec: &Spec, index: usize) -> Modules {
    let named = |part: &str, outputs: usize| (format!("layers.{index}.{part}"), outputs);
    let (queries, keys) = (spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim);
    let (qkv_proj, gate_up_proj) = if spec.fused_projections {
        (
            vec![named("self_attn.qkv_proj", queries + 2 * keys)],
            vec![named("mlp.gate_up_proj", 2 * spec.intermediate_size)],
        )
    } else {
        (
            vec![
                named("self_attn.q_proj", queries),
                named("self_attn.k_proj", keys),
                named("self_attn.v_proj", keys),
            ],
            vec![
                named("mlp.gate_proj", spec.intermediate_size),
                named("mlp.up_proj", spec.intermediate_size),
            ],
        )
    };
    Modules {
        qkv_proj,
        o_proj: vec![named("self_attn.o_proj", spec.hidden_size)],
        gate_up_proj,
        down_proj: vec![named("mlp.down_proj", spec.hidden_size)],
    }
}

/// Returns possible names of the output projection, which has no `model.` in its prefix.
pub(super) fn lm_heads(prefix: &str) -> [String; 2] {
    let beside = prefix.strip_suffix("model.").unwrap_or(prefix);
    [format!("{beside}lm_head"), "lm_head".to_owned()]
}

/// Returns the prefix of all names.
pub(super) fn prefix(store: &TensorStore) -> Result<String> {
    let suffix = format!("{EMBEDDINGS}.weight");
    let mut prefixes: Vec<&str> = store
        .names()
        .filter_map(|name| name.strip_suffix(&suffix))
        .collect();
    prefixes.sort_by_key(|prefix| prefix.len());
    let shortest = prefixes.first().map(|prefix| (*prefix).to_owned());
    shortest.ok_or_else(|| Error::MissingTensor {
        name: format!("model.{suffix}"),
    })
}

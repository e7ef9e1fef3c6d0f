//! What the modules of a model are called, and which of them are one map here. Reads no weights.

use crate::config::Spec;
use crate::error::{Error, Result};
use crate::weights::TensorStore;

/// The embeddings, below the prefix that a family puts before everything.
pub(super) const EMBEDDINGS: &str = "embed_tokens";

/// The maps of one block: for each the modules that are stacked into it, with their outputs.
#[derive(Debug)]
pub(super) struct Modules {
    pub(super) qkv: Vec<(String, usize)>,
    pub(super) output: Vec<(String, usize)>,
    pub(super) gate_up: Vec<(String, usize)>,
    pub(super) down: Vec<(String, usize)>,
}

/// Names below the prefix.
pub(super) fn modules(spec: &Spec, index: usize) -> Modules {
    let named = |part: &str, outputs: usize| (format!("layers.{index}.{part}"), outputs);
    let (queries, keys) = (spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim);
    let (qkv, gate_up) = if spec.fused_projections {
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
        qkv,
        output: vec![named("self_attn.o_proj", spec.hidden_size)],
        gate_up,
        down: vec![named("mlp.down_proj", spec.hidden_size)],
    }
}

/// What the output embeddings may be called: they lie beside what has the prefix, not below it.
pub(super) fn heads(prefix: &str) -> [String; 2] {
    let beside = prefix.strip_suffix("model.").unwrap_or(prefix);
    [format!("{beside}lm_head"), "lm_head".to_owned()]
}

/// The prefix of everything in these weights.
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

//! A model that generates a script of the test: each token is followed by the next one of the script.
//!
//! Its layers do nothing and its embeddings are unit vectors. Each row of its output embeddings matches the token before.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::json;

/// Size of the vocabulary and of a hidden state.
const SIZE: usize = 32;
const ASSISTANT: &str = "<|assistant|>";
const END: &str = "</s>";

/// One token of the completion, and true if it is special, which hides it from the text.
pub(crate) struct Piece(pub(crate) &'static str, pub(crate) bool);

/// Writes the model. Its template ends with the token after which the script begins.
pub(crate) fn write(dir: &Path, template: &str, script: &[Piece]) {
    let first = [("<unk>", false), (ASSISTANT, true), (END, true)];
    let tokens: Vec<(&str, bool)> = first
        .into_iter()
        .chain(script.iter().map(|piece| (piece.0, piece.1)))
        .collect();
    assert!(tokens.len() <= SIZE);
    let added: Vec<_> = tokens
        .iter()
        .enumerate()
        .skip(1)
        .map(|(id, (content, special))| {
            json!({"id": id, "content": content, "special": special, "single_word": false,
                   "lstrip": false, "rstrip": false, "normalized": false})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"},
    });
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": SIZE, "head_dim": SIZE,
        "num_attention_heads": 1, "num_key_value_heads": 1, "num_hidden_layers": 1, "intermediate_size": 8,
        "vocab_size": SIZE, "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "hidden_act": "silu",
        "tie_word_embeddings": false, "rope_theta": 10000.0, "eos_token_id": 2,
    });
    let texts = [
        ("tokenizer.json", tokenizer),
        ("config.json", config),
        ("generation_config.json", json!({"eos_token_id": 2})),
        (
            "tokenizer_config.json",
            json!({"eos_token": END, "chat_template": format!("{template}{ASSISTANT}")}),
        ),
    ];
    for (name, value) in texts {
        std::fs::write(dir.join(name), value.to_string()).unwrap();
    }
    // The assistant's token, the script, the end.
    let chain: Vec<usize> = std::iter::once(1).chain(3..tokens.len()).chain([2]).collect();
    write_weights(dir, &chain);
}

fn write_weights(dir: &Path, chain: &[usize]) {
    let bytes = |values: &[f32]| {
        values
            .iter()
            .copied()
            .flat_map(f32::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    let mut identity = vec![0.0; SIZE * SIZE];
    let mut head = vec![0.0; SIZE * SIZE];
    for token in 0..SIZE {
        identity[token * SIZE + token] = 1.0;
    }
    for pair in chain.windows(2) {
        head[pair[1] * SIZE + pair[0]] = 1.0;
    }
    let block = "model.layers.0";
    let mut tensors = vec![
        (
            "model.embed_tokens.weight".to_owned(),
            vec![SIZE, SIZE],
            bytes(&identity),
        ),
        ("lm_head.weight".to_owned(), vec![SIZE, SIZE], bytes(&head)),
        ("model.norm.weight".to_owned(), vec![SIZE], bytes(&[1.0; SIZE])),
    ];
    for norm in ["input_layernorm", "post_attention_layernorm"] {
        tensors.push((format!("{block}.{norm}.weight"), vec![SIZE], bytes(&[1.0; SIZE])));
    }
    let maps = [
        ("self_attn.q_proj", SIZE, SIZE),
        ("self_attn.k_proj", SIZE, SIZE),
        ("self_attn.v_proj", SIZE, SIZE),
        ("self_attn.o_proj", SIZE, SIZE),
        ("mlp.gate_proj", 8, SIZE),
        ("mlp.up_proj", 8, SIZE),
        ("mlp.down_proj", SIZE, 8),
    ];
    for (map, outputs, inputs) in maps {
        tensors.push((
            format!("{block}.{map}.weight"),
            vec![outputs, inputs],
            bytes(&vec![0.0; outputs * inputs]),
        ));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, &dir.join("model.safetensors")).unwrap();
}

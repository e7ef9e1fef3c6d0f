//! The conversion: configuration, names and order of weights, and the files.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use half::bf16;
use serde_json::{Map, Value, json};

use crate::error::{GgufError, Result};
use crate::header::{Gguf, TensorInfo};
use crate::tokenizer;

/// Size of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Number of tensors.
    pub tensors: usize,
    /// Bytes of weights.
    pub bytes: u64,
}

/// Converts `file` to a directory in the Hugging Face layout.
///
/// Weights are written as 32-bit floats, without loss, or as bfloat16 if `as_bf16`. Existing files are replaced.
///
/// # Errors
/// When the file is malformed, or of an unknown architecture, quantization or tokenizer, and when writing fails.
pub fn convert(file: &Path, out: &Path, as_bf16: bool) -> Result<Converted> {
    let gguf = Gguf::open(file)?;
    let architecture = gguf.text("general.architecture").unwrap_or_default();
    if !["llama", "qwen2"].contains(&architecture) {
        return Err(GgufError::file(
            file,
            format!("unknown architecture `{architecture}`: expected llama or qwen2"),
        ));
    }
    let config = config(&gguf, architecture)?;
    let files = tokenizer::files(&gguf)?;
    std::fs::create_dir_all(out).map_err(|source| GgufError::Write {
        path: out.to_owned(),
        source,
    })?;
    write_json(&out.join("tokenizer.json"), &files.tokenizer)?;
    write_json(&out.join("tokenizer_config.json"), &files.config)?;
    let eos = tokenizer::special_token_id(&gguf, "eos");
    write_json(
        &out.join("generation_config.json"),
        &json!({"eos_token_id": eos, "bos_token_id": config["bos_token_id"]}),
    )?;
    let converted = write_weights(
        &gguf,
        &out.join("model.safetensors"),
        architecture == "llama",
        as_bf16,
    )?;
    // Written last: a directory with a configuration is complete.
    write_json(&out.join("config.json"), &config)?;
    Ok(converted)
}

fn config(gguf: &Gguf, architecture: &str) -> Result<Value> {
    let number = |name: &str| gguf.number(&format!("{architecture}.{name}"));
    let needed = |name: &str| -> Result<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        number(name)
            .filter(|number| (1.0..4e9).contains(number))
            .map(|number| number as u64)
            .ok_or_else(|| GgufError::file(&gguf.path, format!("has no usable `{architecture}.{name}`")))
    };
    if gguf
        .text(&format!("{architecture}.rope.scaling.type"))
        .is_some_and(|kind| kind != "none")
    {
        return Err(GgufError::file(
            &gguf.path,
            "must not scale its context: rope scaling is not supported",
        ));
    }
    let vocabulary = gguf
        .tensors
        .get("token_embd.weight")
        .and_then(|info| info.shape.first());
    let (class, kind) = if architecture == "llama" {
        ("LlamaForCausalLM", "llama")
    } else {
        ("Qwen2ForCausalLM", "qwen2")
    };
    let heads = needed("attention.head_count")?;
    Ok(json!({
        "architectures": [class],
        "model_type": kind,
        "vocab_size": vocabulary,
        "hidden_size": needed("embedding_length")?,
        "intermediate_size": needed("feed_forward_length")?,
        "num_hidden_layers": needed("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": needed("attention.head_count_kv").unwrap_or(heads),
        "max_position_embeddings": needed("context_length")?,
        "rms_norm_eps": number("attention.layer_norm_rms_epsilon").unwrap_or(1e-5) as f32,
        "rope_theta": number("rope.freq_base").unwrap_or(10_000.0),
        "hidden_act": "silu",
        "tie_word_embeddings": !gguf.tensors.contains_key("output.weight"),
        "bos_token_id": tokenizer::special_token_id(gguf, "bos"),
        "eos_token_id": tokenizer::special_token_id(gguf, "eos"),
        "torch_dtype": "float32",
    }))
}

/// Returns a tensor's name in the Hugging Face layout, or nothing for tensors without one.
fn name(gguf: &str) -> Option<String> {
    match gguf {
        "token_embd.weight" => return Some("model.embed_tokens.weight".to_owned()),
        "output_norm.weight" => return Some("model.norm.weight".to_owned()),
        "output.weight" => return Some("lm_head.weight".to_owned()),
        _ => {}
    }
    let (layer, rest) = gguf.strip_prefix("blk.")?.split_once('.')?;
    let (part, end) = rest.rsplit_once('.')?;
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{part}.{end}"))
}

/// Undoes the order of rows of queries and keys in llama.cpp: it rotates neighboring elements, others elements half a head
/// apart.
fn unpermute(rows: &[f32], head_rows: usize, columns: usize) -> Vec<f32> {
    let half = head_rows / 2;
    let source = |row: usize| {
        let (head, within) = (row / head_rows, row % head_rows);
        head * head_rows
            + if within < half {
                2 * within
            } else {
                2 * (within - half) + 1
            }
    };
    (0..rows.len() / columns)
        .flat_map(|row| &rows[source(row) * columns..][..columns])
        .copied()
        .collect()
}

fn write_weights(gguf: &Gguf, path: &Path, permuted: bool, as_bf16: bool) -> Result<Converted> {
    let failed = |source| GgufError::Write {
        path: path.to_owned(),
        source,
    };
    let width = if as_bf16 { 2 } else { 4 };
    let tensors: Vec<(String, &String, &TensorInfo)> = gguf
        .tensors
        .iter()
        .filter_map(|(own, info)| Some((name(own)?, own, info)))
        .collect();
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut at = 0;
    for (name, _, info) in &tensors {
        let end = at + info.elements() * width;
        let dtype = if as_bf16 { "BF16" } else { "F32" };
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": info.shape, "data_offsets": [at, end]}),
        );
        at = end;
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(
        ' ',
        header.len().next_multiple_of(8) - header.len(),
    ));
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    file.write_all(&(header.len() as u64).to_le_bytes())
        .map_err(failed)?;
    file.write_all(header.as_bytes()).map_err(failed)?;
    for (name, own, info) in &tensors {
        let mut values = gguf.read(info)?;
        if permuted && (own.contains(".attn_q.") || own.contains(".attn_k.")) {
            let columns = if info.shape.len() > 1 { info.shape[1] } else { 1 };
            values = unpermute(&values, head_rows(gguf, name, info)?, columns);
        }
        let bytes: Vec<u8> = if as_bf16 {
            values
                .iter()
                .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
                .collect()
        } else {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        file.write_all(&bytes).map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    Ok(Converted {
        tensors: tensors.len(),
        bytes: at,
    })
}

/// Returns the rows of one head of a query or key tensor.
fn head_rows(gguf: &Gguf, name: &str, info: &TensorInfo) -> Result<usize> {
    let key = if name.contains("q_proj") {
        "llama.attention.head_count"
    } else {
        "llama.attention.head_count_kv"
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to divide"
    )]
    let heads = gguf
        .number(key)
        .or_else(|| gguf.number("llama.attention.head_count"))
        .unwrap_or(0.0) as usize;
    let rows = info.shape[0];
    if heads == 0 || !rows.is_multiple_of(2 * heads) {
        return Err(GgufError::file(
            &gguf.path,
            format!("has {rows} rows in `{name}`, which {heads} heads must divide"),
        ));
    }
    Ok(rows / heads)
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    std::fs::write(path, text).map_err(|source| GgufError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated() {
        let cases = [
            ("token_embd.weight", Some("model.embed_tokens.weight")),
            (
                "blk.12.attn_q.bias",
                Some("model.layers.12.self_attn.q_proj.bias"),
            ),
            (
                "blk.0.ffn_down.weight",
                Some("model.layers.0.mlp.down_proj.weight"),
            ),
            ("rope_freqs.weight", None),
        ];
        for (own, expected) in cases {
            assert_eq!(name(own).as_deref(), expected);
        }
    }

    #[test]
    fn neighbours_become_halves() {
        // Two heads of four rows with one column; llama.cpp stores 0 2 1 3 of each.
        let stored = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        assert_eq!(
            unpermute(&stored, 4, 1),
            [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]
        );
    }
}

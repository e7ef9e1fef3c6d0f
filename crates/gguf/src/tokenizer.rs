//! `tokenizer.json` and `tokenizer_config.json`, made from the metadata of a GGUF file.
//!
//! Byte-level BPE only, with the pre-tokenizers that llama.cpp names in `tokenizer.ggml.pre`.

use serde_json::{Map, Value, json};

use crate::error::{GgufError, Result};
use crate::header::{Gguf, Meta};

/// ggml's token types other than plain text.
const CONTROL: f64 = 3.0;
const USER_DEFINED: f64 = 4.0;

/// Patterns that split texts for Llama 3 and, one digit at a time, for Qwen 2.
const LLAMA3: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const QWEN2: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// Content of the two files.
pub(crate) struct TokenizerFiles {
    pub(crate) tokenizer: Value,
    pub(crate) config: Value,
}

pub(crate) fn files(gguf: &Gguf) -> Result<TokenizerFiles> {
    let error = |problem: String| GgufError::file(&gguf.path, problem);
    let model = gguf.text("tokenizer.ggml.model").unwrap_or_default();
    if model != "gpt2" {
        return Err(error(format!(
            "unknown tokenizer `{model}`: expected byte-level BPE (`gpt2`)"
        )));
    }
    let tokens = texts(gguf, "tokenizer.ggml.tokens")?;
    let merges = texts(gguf, "tokenizer.ggml.merges")?;
    let ignore_merges = gguf.text("tokenizer.ggml.pre") == Some("llama-bpe");
    let vocab: Map<String, Value> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| ((*token).to_owned(), id.into()))
        .collect();
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(gguf, &tokens),
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer(gguf)?,
        "post_processor": post_processor(gguf, &tokens),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": ignore_merges,
            "vocab": vocab, "merges": merges,
        },
    });
    let token = |key: &str| special_token_id(gguf, key).and_then(|id| tokens.get(id).copied());
    let config = json!({
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "unk_token": token("unknown"),
        "pad_token": token("padding"),
        "chat_template": gguf.text("tokenizer.chat_template"),
    });
    Ok(TokenizerFiles { tokenizer, config })
}

/// Returns the id of a special token.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole and not negative"
)]
pub(crate) fn special_token_id(gguf: &Gguf, name: &str) -> Option<usize> {
    let id = gguf.number(&format!("tokenizer.ggml.{name}_token_id"))?;
    (id >= 0.0 && id.fract() == 0.0).then_some(id as usize)
}

fn texts<'a>(gguf: &'a Gguf, key: &str) -> Result<Vec<&'a str>> {
    let list = gguf.list(key).unwrap_or_default();
    let text = |meta: &'a Meta| match meta {
        Meta::Text(text) => Some(text.as_str()),
        _ => None,
    };
    let all: Option<Vec<&str>> = list.iter().map(text).collect();
    all.filter(|all| !all.is_empty())
        .ok_or_else(|| GgufError::file(&gguf.path, format!("has no `{key}`")))
}

fn added_tokens(gguf: &Gguf, tokens: &[&str]) -> Vec<Value> {
    let types = gguf.list("tokenizer.ggml.token_type").unwrap_or_default();
    let of_kind = |kind: f64| move |(_, meta): &(usize, &Meta)| **meta == Meta::Number(kind);
    let listed = types.iter().enumerate();
    let entry = |id: usize, special: bool| {
        json!({"id": id, "content": tokens.get(id), "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": special})
    };
    let control = listed
        .clone()
        .filter(of_kind(CONTROL))
        .map(|(id, _)| entry(id, true));
    let user = listed
        .filter(of_kind(USER_DEFINED))
        .map(|(id, _)| entry(id, false));
    control
        .chain(user)
        .filter(|entry| !entry["content"].is_null())
        .collect()
}

fn pre_tokenizer(gguf: &Gguf) -> Result<Value> {
    let byte_level = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let by = |regex: &str| {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false}, byte_level(false),
        ]})
    };
    match gguf.text("tokenizer.ggml.pre").unwrap_or("default") {
        "default" | "gpt-2" => Ok(byte_level(true)),
        "smollm" => Ok(json!({"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true}, byte_level(true),
        ]})),
        "llama-bpe" => Ok(by(LLAMA3)),
        "qwen2" => Ok(by(QWEN2)),
        other => Err(GgufError::file(
            &gguf.path,
            format!("unknown pre-tokenizer `{other}`"),
        )),
    }
}

/// Adds the first token to texts if the model wants that.
fn post_processor(gguf: &Gguf, tokens: &[&str]) -> Value {
    let wanted = gguf.metadata.get("tokenizer.ggml.add_bos_token") == Some(&Meta::Flag(true));
    match special_token_id(gguf, "bos").and_then(|id| Some((id, *tokens.get(id)?))) {
        Some((id, token)) if wanted => json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
        }),
        _ => Value::Null,
    }
}

//! `tokenizer.json` and `tokenizer_config.json` out of the metadata of a GGUF file.
//!
//! Byte-level BPE only, with the splitting rules that llama.cpp knows by name (`tokenizer.ggml.pre`).

use serde_json::{Map, Value, json};

use super::parse::{Gguf, Meta};
use crate::error::{Error, Result};

/// ggml's token types that are no plain text.
const CONTROL: f64 = 3.0;
const USER_DEFINED: f64 = 4.0;

/// How Llama 3 and, one digit at a time, Qwen 2 split texts.
const LLAMA3: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const QWEN2: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// The two files.
pub(super) struct Vocabulary {
    pub(super) tokenizer: Value,
    pub(super) config: Value,
}

pub(super) fn vocabulary(gguf: &Gguf) -> Result<Vocabulary> {
    let error = |problem: String| Error::file(&gguf.path, problem);
    let model = gguf.text("tokenizer.ggml.model").unwrap_or_default();
    if model != "gpt2" {
        return Err(error(format!(
            "its tokenizer is `{model}`: only byte-level BPE (`gpt2`) can be converted"
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
        "added_tokens": added(gguf, &tokens),
        "normalizer": null,
        "pre_tokenizer": splitting(gguf)?,
        "post_processor": post_processor(gguf, &tokens),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": ignore_merges,
            "vocab": vocab, "merges": merges,
        },
    });
    let spelled = |key: &str| special(gguf, key).and_then(|id| tokens.get(id).copied());
    let config = json!({
        "bos_token": spelled("bos"),
        "eos_token": spelled("eos"),
        "unk_token": spelled("unknown"),
        "pad_token": spelled("padding"),
        "chat_template": gguf.text("tokenizer.chat_template"),
    });
    Ok(Vocabulary { tokenizer, config })
}

/// The id of a special token.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole and not negative"
)]
pub(super) fn special(gguf: &Gguf, name: &str) -> Option<usize> {
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
        .ok_or_else(|| Error::file(&gguf.path, format!("has no `{key}`")))
}

fn added(gguf: &Gguf, tokens: &[&str]) -> Vec<Value> {
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

fn splitting(gguf: &Gguf) -> Result<Value> {
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
        other => Err(Error::file(
            &gguf.path,
            format!("splits texts by the rule `{other}`, which is not known"),
        )),
    }
}

/// Puts the first token before a text where the model wants that.
fn post_processor(gguf: &Gguf, tokens: &[&str]) -> Value {
    let wanted = gguf.metadata.get("tokenizer.ggml.add_bos_token") == Some(&Meta::Flag(true));
    match special(gguf, "bos").and_then(|id| Some((id, *tokens.get(id)?))) {
        Some((id, token)) if wanted => json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
        }),
        _ => Value::Null,
    }
}

//! Parameters that would change a completion and are not supported. They are refused, so that no client mistakes the result.

use serde_json::{Value, json};

use super::numbers::refuse_unless;
use crate::api::error::ApiError;

/// The parameters that the two OpenAI endpoints refuse.
#[derive(Debug)]
pub(crate) struct UnsupportedFields {
    pub(crate) use_beam_search: Option<Value>,
    pub(crate) length_penalty: Option<Value>,
    pub(crate) no_repeat_ngram_size: Option<Value>,
    pub(crate) bad_words: Option<Value>,
    pub(crate) allowed_token_ids: Option<Value>,
    pub(crate) logits_processors: Option<Value>,
    pub(crate) prompt_logprobs: Option<Value>,
    pub(crate) truncate_prompt_tokens: Option<Value>,
    pub(crate) include_stop_str_in_output: Option<Value>,
    pub(crate) skip_special_tokens: Option<Value>,
}

/// Moves these parameters out of a request; see [`generation_fields`](super::generation_fields).
macro_rules! unsupported_fields {
    ($request:ident) => {
        $crate::api::validate::UnsupportedFields {
            use_beam_search: $request.use_beam_search.take(),
            length_penalty: $request.length_penalty.take(),
            no_repeat_ngram_size: $request.no_repeat_ngram_size.take(),
            bad_words: $request.bad_words.take(),
            allowed_token_ids: $request.allowed_token_ids.take(),
            logits_processors: $request.logits_processors.take(),
            prompt_logprobs: $request.prompt_logprobs.take(),
            truncate_prompt_tokens: $request.truncate_prompt_tokens.take(),
            include_stop_str_in_output: $request.include_stop_str_in_output.take(),
            skip_special_tokens: $request.skip_special_tokens.take(),
        }
    };
}
pub(crate) use unsupported_fields;

/// Refuses each parameter unless it has the value that changes nothing.
pub(crate) fn refuse_unsupported(fields: &UnsupportedFields) -> Result<(), ApiError> {
    let neutral = [
        (json!(false), "use_beam_search", &fields.use_beam_search),
        (json!(1.0), "length_penalty", &fields.length_penalty),
        (json!(0), "no_repeat_ngram_size", &fields.no_repeat_ngram_size),
        (json!([]), "bad_words", &fields.bad_words),
        (Value::Null, "allowed_token_ids", &fields.allowed_token_ids),
        (json!([]), "logits_processors", &fields.logits_processors),
        (Value::Null, "prompt_logprobs", &fields.prompt_logprobs),
        (
            Value::Null,
            "truncate_prompt_tokens",
            &fields.truncate_prompt_tokens,
        ),
        (
            json!(false),
            "include_stop_str_in_output",
            &fields.include_stop_str_in_output,
        ),
        (json!(true), "skip_special_tokens", &fields.skip_special_tokens),
    ];
    for (neutral, name, value) in neutral {
        refuse_unless(&neutral, name, value.as_ref())?;
    }
    Ok(())
}

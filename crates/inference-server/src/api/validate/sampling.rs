//! Sampling and length of completions, which all generating endpoints share.

use std::collections::BTreeMap;

use model::GenerationConfig;
use model::sampling::SamplingParams;

use super::numbers::{count, integer, number};
use super::prompts::check_tokens;
use crate::api::error::ApiError;
use crate::api::requests::{StreamOptions, StringOrList, TokenIds};
use crate::engine::{CacheScope, Request};
use crate::grammar::Matcher;
use crate::load::LoadedModel;

/// Maximum of choices of a request.
const MAX_CHOICES: i64 = 8;
/// Maximum of stop strings.
const MAX_STOP_STRINGS: usize = 16;
/// Maximum of tokens with a bias.
const MAX_BIASES: usize = 1024;
/// Maximum for numbers of tokens; the context of the model is the real bound.
const MAX_TOKENS: i64 = 1 << 24;

/// The parameters of sampling, length and streaming that the two OpenAI endpoints share.
#[derive(Debug)]
pub(crate) struct GenerationFields {
    pub(crate) max_completion_tokens: Option<i64>,
    pub(crate) max_tokens: Option<i64>,
    pub(crate) min_tokens: Option<i64>,
    pub(crate) stop: Option<StringOrList>,
    pub(crate) stop_token_ids: Option<TokenIds>,
    pub(crate) ignore_eos: Option<bool>,
    pub(crate) n: Option<i64>,
    pub(crate) seed: Option<i64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<i64>,
    pub(crate) min_p: Option<f64>,
    pub(crate) repetition_penalty: Option<f64>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) frequency_penalty: Option<f64>,
    pub(crate) logit_bias: Option<BTreeMap<String, f64>>,
    pub(crate) stream: Option<bool>,
    pub(crate) stream_options: Option<StreamOptions>,
}

/// Moves the shared parameters out of a request. The structs of the endpoints list them one by one instead of nesting this struct,
/// because serde's `flatten` loses the path of an error.
macro_rules! generation_fields {
    ($request:ident) => {
        $crate::api::validate::GenerationFields {
            max_completion_tokens: $request.max_completion_tokens,
            max_tokens: $request.max_tokens,
            min_tokens: $request.min_tokens,
            stop: $request.stop,
            stop_token_ids: $request.stop_token_ids,
            ignore_eos: $request.ignore_eos,
            n: $request.n,
            seed: $request.seed,
            temperature: $request.temperature,
            top_p: $request.top_p,
            top_k: $request.top_k,
            min_p: $request.min_p,
            repetition_penalty: $request.repetition_penalty,
            presence_penalty: $request.presence_penalty,
            frequency_penalty: $request.frequency_penalty,
            logit_bias: $request.logit_bias,
            stream: $request.stream,
            stream_options: $request.stream_options,
        }
    };
}
pub(crate) use generation_fields;

/// Everything that a request says about its completions, except the prompt.
#[derive(Clone, Debug)]
pub(crate) struct GenerationOptions {
    pub(crate) choices: usize,
    /// Maximum of tokens of a completion, if the request sets it.
    pub(crate) max_tokens: Option<usize>,
    pub(crate) min_tokens: usize,
    pub(crate) sampling: SamplingParams,
    pub(crate) seed: u64,
    pub(crate) stop: Vec<String>,
    pub(crate) end_tokens: Vec<u32>,
    /// See [`Request::visible_special_tokens`].
    pub(crate) visible_special_tokens: Vec<u32>,
    /// See [`Request::scope`].
    pub(crate) scope: CacheScope,
    /// See [`Request::prompt_log_probs`].
    pub(crate) prompt_log_probs: Option<usize>,
    /// See [`Request::grammar`].
    pub(crate) grammar: Option<Matcher>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

impl GenerationFields {
    /// Checks the parameters. Defaults are those of the model's generation config.
    pub(crate) fn validate(self, defaults: &GenerationConfig) -> Result<GenerationOptions, ApiError> {
        let max_completion_tokens = count(
            "max_completion_tokens",
            self.max_completion_tokens,
            1..=MAX_TOKENS,
        )?;
        let max_tokens = match max_completion_tokens {
            Some(max) => Some(max),
            None => count("max_tokens", self.max_tokens, 1..=MAX_TOKENS)?,
        };
        let sampling = self.sampling(defaults)?;
        let mut end_tokens = if self.ignore_eos.unwrap_or(false) {
            Vec::new()
        } else {
            defaults.eos_token_ids.clone()
        };
        end_tokens.extend(self.stop_token_ids.map(|tokens| tokens.0).unwrap_or_default());
        Ok(GenerationOptions {
            choices: count("n", self.n, 1..=MAX_CHOICES)?.unwrap_or(1),
            max_tokens,
            min_tokens: count("min_tokens", self.min_tokens, 0..=MAX_TOKENS)?.unwrap_or(0),
            sampling,
            seed: self.seed.map_or_else(|| fastrand::u64(..), i64::cast_unsigned),
            stop: strings("stop", self.stop)?,
            end_tokens,
            visible_special_tokens: Vec::new(),
            scope: CacheScope::default(),
            prompt_log_probs: None,
            grammar: None,
            stream: self.stream.unwrap_or(false),
            include_usage: self
                .stream_options
                .and_then(|options| options.include_usage)
                .unwrap_or(false),
        })
    }

    fn sampling(&self, defaults: &GenerationConfig) -> Result<SamplingParams, ApiError> {
        let neutral = SamplingParams::default();
        let top_k = match integer("top_k", self.top_k, -1..=MAX_TOKENS)? {
            // -1 means no limit, which is 0 here.
            Some(top_k) => usize::try_from(top_k).unwrap_or(0),
            None => defaults.top_k.unwrap_or(neutral.top_k),
        };
        let or_default =
            |number: Option<f32>, config: Option<f32>, neutral: f32| number.or(config).unwrap_or(neutral);
        Ok(SamplingParams {
            temperature: or_default(
                number("temperature", self.temperature, 0.0..=2.0)?,
                defaults.temperature,
                neutral.temperature,
            ),
            top_k,
            top_p: or_default(
                number("top_p", self.top_p, 0.0..=1.0)?,
                defaults.top_p,
                neutral.top_p,
            ),
            min_p: number("min_p", self.min_p, 0.0..=1.0)?.unwrap_or(neutral.min_p),
            repetition_penalty: or_default(
                number("repetition_penalty", self.repetition_penalty, 0.01..=10.0)?,
                defaults.repetition_penalty,
                neutral.repetition_penalty,
            ),
            presence_penalty: number("presence_penalty", self.presence_penalty, -2.0..=2.0)?.unwrap_or(0.0),
            frequency_penalty: number("frequency_penalty", self.frequency_penalty, -2.0..=2.0)?
                .unwrap_or(0.0),
            bias: biases(self.logit_bias.as_ref())?,
        })
    }
}

impl GenerationOptions {
    /// Returns one request for each choice. `name` is the parameter with the prompt.
    pub(crate) fn requests(
        &self,
        model: &LoadedModel,
        adapter: Option<usize>,
        (name, prompt): (&str, &[u32]),
        log_probs: Option<usize>,
        default_max_tokens: usize,
    ) -> Result<Vec<Request>, ApiError> {
        check_tokens(model, name, prompt)?;
        if prompt.len() > model.context {
            return Err(ApiError::too_long(name, prompt.len(), 1, model.context));
        }
        let room = model.context - prompt.len();
        let max_tokens = self.max_tokens.unwrap_or(default_max_tokens.min(room));
        let is_empty = max_tokens == 0 && self.max_tokens != Some(0);
        if is_empty || max_tokens > room {
            return Err(ApiError::too_long(
                name,
                prompt.len(),
                max_tokens.max(1),
                model.context,
            ));
        }
        let request = |choice: u64| Request {
            prompt: prompt.to_vec(),
            adapter,
            scope: self.scope,
            embedding: false,
            sampling: self.sampling.clone(),
            seed: self.seed.wrapping_add(choice),
            max_tokens,
            min_tokens: self.min_tokens,
            stop: self.stop.clone(),
            end_tokens: self.end_tokens.clone(),
            visible_special_tokens: self.visible_special_tokens.clone(),
            log_probs,
            prompt_log_probs: self.prompt_log_probs,
            grammar: self.grammar.clone(),
        };
        Ok((0..self.choices as u64).map(request).collect())
    }
}

/// Returns stop strings.
pub(crate) fn strings(name: &str, strings: Option<StringOrList>) -> Result<Vec<String>, ApiError> {
    let strings = strings.map(StringOrList::into_list).unwrap_or_default();
    if strings.len() > MAX_STOP_STRINGS {
        return Err(ApiError::parameter(
            name,
            format!(
                "must have at most {MAX_STOP_STRINGS} strings, not {}",
                strings.len()
            ),
        ));
    }
    Ok(strings)
}

fn biases(logit_bias: Option<&BTreeMap<String, f64>>) -> Result<Vec<(u32, f32)>, ApiError> {
    let Some(map) = logit_bias else {
        return Ok(Vec::new());
    };
    let pair = |(token, bias): (&String, &f64)| {
        let token = token.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "the range is small")]
        (bias.abs() <= 100.0).then_some((token, *bias as f32))
    };
    let pairs: Option<Vec<_>> = map.iter().map(pair).collect();
    pairs.filter(|_| map.len() <= MAX_BIASES).ok_or_else(|| {
        ApiError::parameter(
            "logit_bias",
            format!("must map at most {MAX_BIASES} token ids to numbers between -100 and 100"),
        )
    })
}

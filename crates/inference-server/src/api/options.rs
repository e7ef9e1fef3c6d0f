//! Fields about sampling and limits that all generating endpoints share → an engine's request.

use model::GenerationConfig;
use model::sampling::SamplingParams;
use serde_json::Value;

use super::body::Body;
use super::error::ApiError;
use crate::engine::Request;
use crate::grammar::Matcher;
use crate::load::Served;

/// Tokens of an answer when nothing is said: as transformers' server has it.
const ANSWER: usize = 1024;
/// Most choices of a request.
const CHOICES: i64 = 8;
/// Most stop strings.
const STOPS: usize = 16;
/// Most single tokens with a bias.
const BIASES: usize = 1024;
const MOST_TOKENS: i64 = 1 << 24;

/// What a request wants beside its prompt.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) choices: usize,
    /// Tokens of an answer, if the request says so.
    pub(crate) most: Option<usize>,
    pub(crate) least: usize,
    pub(crate) settings: SamplingParams,
    pub(crate) seed: u64,
    pub(crate) stops: Vec<String>,
    pub(crate) end: Vec<u32>,
    /// See [`Request::spelled`].
    pub(crate) spelled: Vec<u32>,
    /// See [`Request::guide`].
    pub(crate) guide: Option<Matcher>,
    pub(crate) stream: bool,
    pub(crate) stream_usage: bool,
}

impl Options {
    pub(crate) fn parse(body: &Body, generation: &GenerationConfig) -> Result<Self, ApiError> {
        let most = match body.count("max_completion_tokens", 1..=MOST_TOKENS)? {
            Some(most) => Some(most),
            None => body.count("max_tokens", 1..=MOST_TOKENS)?,
        };
        let mut end = if body.flag("ignore_eos", false)? {
            Vec::new()
        } else {
            generation.eos_token_ids.clone()
        };
        end.extend(body.tokens("stop_token_ids")?.unwrap_or_default());
        Ok(Self {
            choices: body.count("n", 1..=CHOICES)?.unwrap_or(1),
            most,
            least: body.count("min_tokens", 0..=MOST_TOKENS)?.unwrap_or(0),
            settings: settings(body, generation)?,
            seed: body
                .whole("seed", i64::MIN..=i64::MAX)?
                .map_or_else(|| fastrand::u64(..), i64::cast_unsigned),
            stops: body.texts("stop", STOPS)?,
            end,
            spelled: Vec::new(),
            guide: None,
            stream: body.flag("stream", false)?,
            stream_usage: body.inner("stream_options")?.flag("include_usage", false)?,
        })
    }

    /// One request for each choice. `name` is the field that holds the prompt.
    pub(crate) fn requests(
        &self,
        served: &Served,
        adapter: Option<usize>,
        name: &str,
        prompt: &[u32],
        log_probs: Option<usize>,
        answer: usize,
    ) -> Result<Vec<Request>, ApiError> {
        check_tokens(served, name, prompt)?;
        let room = served.context.saturating_sub(prompt.len());
        let most = self.most.unwrap_or(answer.min(room));
        if room == 0 || most > room {
            return Err(ApiError::too_long(
                name,
                prompt.len(),
                most.max(1),
                served.context,
            ));
        }
        let request = |choice: u64| Request {
            prompt: prompt.to_vec(),
            adapter,
            embed: false,
            settings: self.settings.clone(),
            seed: self.seed.wrapping_add(choice),
            most,
            least: self.least,
            stops: self.stops.clone(),
            end: self.end.clone(),
            spelled: self.spelled.clone(),
            log_probs,
            guide: self.guide.clone(),
        };
        Ok((0..self.choices as u64).map(request).collect())
    }
}

/// The request for a text as a vector. `name` is the field that holds the text.
pub(crate) fn embedding(
    served: &Served,
    adapter: Option<usize>,
    name: &str,
    prompt: Vec<u32>,
) -> Result<Request, ApiError> {
    check_tokens(served, name, &prompt)?;
    if prompt.len() > served.context {
        return Err(ApiError::too_long(name, prompt.len(), 0, served.context));
    }
    Ok(Request {
        prompt,
        adapter,
        embed: true,
        settings: SamplingParams::default(),
        seed: 0,
        most: 0,
        least: 0,
        stops: Vec::new(),
        end: Vec::new(),
        spelled: Vec::new(),
        log_probs: None,
        guide: None,
    })
}

fn check_tokens(served: &Served, name: &str, prompt: &[u32]) -> Result<(), ApiError> {
    if prompt.is_empty() {
        return Err(ApiError::field(name, "is empty"));
    }
    match prompt.iter().find(|token| **token as usize >= served.vocabulary) {
        Some(token) => Err(ApiError::field(
            name,
            format!("holds token {token}: the model has {}", served.vocabulary),
        )),
        None => Ok(()),
    }
}

/// The makers' defaults, overlaid by the request.
fn settings(body: &Body, generation: &GenerationConfig) -> Result<SamplingParams, ApiError> {
    let neutral = SamplingParams::default();
    let top_k = match body.whole("top_k", -1..=MOST_TOKENS)? {
        Some(asked) => usize::try_from(asked).unwrap_or(0),
        None => generation.top_k.unwrap_or(neutral.top_k),
    };
    let number =
        |name: &str, range, default: f32| Ok::<_, ApiError>(body.number(name, range)?.unwrap_or(default));
    Ok(SamplingParams {
        temperature: number(
            "temperature",
            0.0..=2.0,
            generation.temperature.unwrap_or(neutral.temperature),
        )?,
        top_k,
        top_p: number("top_p", 0.0..=1.0, generation.top_p.unwrap_or(neutral.top_p))?,
        min_p: number("min_p", 0.0..=1.0, neutral.min_p)?,
        repetition_penalty: number(
            "repetition_penalty",
            0.01..=10.0,
            generation
                .repetition_penalty
                .unwrap_or(neutral.repetition_penalty),
        )?,
        presence_penalty: number("presence_penalty", -2.0..=2.0, 0.0)?,
        frequency_penalty: number("frequency_penalty", -2.0..=2.0, 0.0)?,
        bias: biases(body)?,
    })
}

fn biases(body: &Body) -> Result<Vec<(u32, f32)>, ApiError> {
    let wrong = || {
        body.error(
            "logit_bias",
            "is no object of at most 1024 token numbers with numbers from -100 to 100",
        )
    };
    match body.get("logit_bias") {
        None => Ok(Vec::new()),
        Some(Value::Object(map)) if map.len() <= BIASES => {
            let pair = |(token, bias): (&String, &Value)| {
                let bias = bias.as_f64().filter(|bias| bias.abs() <= 100.0)?;
                Some((token.parse().ok()?, bias as f32))
            };
            map.iter().map(|entry| pair(entry).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// Tokens of a chat's answer when nothing is said.
pub(crate) fn chat_answer() -> usize {
    ANSWER
}

//! The response to a text completion, whole or in chunks.

use std::sync::Arc;

use futures::StreamExt as _;
use model::sampling::LogProbs;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::completion::{self, Completion, Usage};
use crate::engine::{CompletionEvent, Finish, Token};
use crate::load::LoadedModel;

/// The parts of a response that are known before the completion.
#[derive(Clone, Debug)]
pub(crate) struct TextResponse {
    /// The response without choices.
    pub(crate) base: Value,
    /// The prompt of each choice if the response repeats it, otherwise an empty string. With it its tokens, if their log
    /// probabilities are reported.
    pub(crate) echoed_prompts: Vec<(String, Vec<u32>)>,
}

impl TextResponse {
    /// Returns the whole response.
    pub(crate) fn json(mut self, model: &LoadedModel, completions: &[Completion], mut usage: Usage) -> Value {
        let choices = completions.iter().zip(&self.echoed_prompts).enumerate();
        let choices = choices.map(|(index, (completion, (echoed, prompt)))| {
            usage.add(&completion.finish);
            let mut log_probs = TokenLists::default();
            log_probs.push_prompt(model, prompt, &completion.prompt);
            log_probs.offset = log_probs.offset.max(echoed.len());
            log_probs.push(model, &completion.tokens);
            json!({
                "index": index, "text": format!("{echoed}{}", completion.text),
                "logprobs": log_probs.json(),
                "finish_reason": completion.finish.reason.as_str(),
            })
        });
        self.base["choices"] = choices.collect();
        self.base["usage"] = usage.json();
        self.base
    }

    fn chunk(&self, choices: Value) -> Value {
        let mut chunk = self.base.clone();
        chunk["choices"] = choices;
        chunk
    }

    fn choice(&self, index: usize, text: &str, log_probs: &Value, reason: Option<&str>) -> Value {
        self.chunk(json!([{"index": index, "text": text, "logprobs": log_probs, "finish_reason": reason}]))
    }
}

/// Returns the chunks of all choices as they come.
pub(crate) fn stream(
    response: TextResponse,
    model: Arc<LoadedModel>,
    receivers: Vec<UnboundedReceiver<CompletionEvent>>,
    mut usage: Usage,
    include_usage: bool,
) -> impl futures::Stream<Item = Value> + Send + 'static {
    let echoed = response.echoed_prompts.iter().enumerate();
    // Where log probabilities of the prompt are wanted, the prompt comes with them.
    let first: Vec<Value> = echoed
        .filter(|(_, (echoed, prompt))| !echoed.is_empty() && prompt.is_empty())
        .map(|(index, (echoed, _))| response.choice(index, echoed, &Value::Null, None))
        .collect();
    let mut sent: Vec<usize> = response
        .echoed_prompts
        .iter()
        .map(|(echoed, _)| echoed.len())
        .collect();
    let mut open = receivers.len();
    let events = completion::merged(receivers).flat_map(move |(index, event)| {
        let mut chunks = Vec::new();
        match event {
            CompletionEvent::Prompt(prompt_log_probs) => {
                let (echoed, prompt) = &response.echoed_prompts[index];
                let mut log_probs = TokenLists::default();
                log_probs.push_prompt(&model, prompt, &prompt_log_probs);
                chunks.push(response.choice(index, echoed, &log_probs.json(), None));
            }
            CompletionEvent::Token(token) => {
                let mut log_probs = TokenLists {
                    offset: sent[index],
                    ..TokenLists::default()
                };
                log_probs.push(&model, std::slice::from_ref(&token));
                let log_probs = log_probs.json();
                sent[index] += token.text.len();
                if !token.text.is_empty() || !log_probs.is_null() {
                    chunks.push(response.choice(index, &token.text, &log_probs, None));
                }
            }
            CompletionEvent::Finish(finish) => {
                usage.add(&finish);
                open -= 1;
                chunks.push(last(&response, index, &finish));
                if open == 0 && include_usage {
                    let mut last = response.chunk(json!([]));
                    last["usage"] = usage.json();
                    chunks.push(last);
                }
            }
        }
        futures::stream::iter(chunks)
    });
    futures::stream::iter(first).chain(events)
}

fn last(response: &TextResponse, index: usize, finish: &Finish) -> Value {
    completion::failure(finish).unwrap_or_else(|| {
        let reason = Some(finish.reason.as_str());
        response.choice(index, &finish.text, &Value::Null, reason)
    })
}

/// Log probabilities in the shape of OpenAI's older API: parallel lists.
#[derive(Debug, Default)]
struct TokenLists {
    texts: Vec<String>,
    log_probs: Vec<Option<f32>>,
    top: Vec<Value>,
    offsets: Vec<usize>,
    /// Bytes before the next token.
    offset: usize,
}

impl TokenLists {
    fn push_prompt(&mut self, model: &LoadedModel, prompt: &[u32], log_probs: &[LogProbs]) {
        // Nothing comes before the first token, so it has no probability.
        let log_probs = std::iter::once(None).chain(log_probs.iter().map(Some));
        for (id, log_probs) in prompt.iter().zip(log_probs) {
            self.push_one(model, *id, log_probs);
        }
    }

    fn push(&mut self, model: &LoadedModel, tokens: &[Token]) {
        for token in tokens {
            if token.log_probs.is_some() {
                self.push_one(model, token.id, token.log_probs.as_ref());
            }
        }
    }

    fn push_one(&mut self, model: &LoadedModel, id: u32, log_probs: Option<&LogProbs>) {
        let text = |id: u32| model.tokenizer.decode(&[id], false).unwrap_or_default();
        let own = text(id);
        self.offsets.push(self.offset);
        self.offset += own.len();
        self.texts.push(own);
        self.log_probs.push(log_probs.map(|probs| probs.chosen));
        let top = log_probs.map(|probs| {
            let pairs = probs
                .top
                .iter()
                .map(|(id, log_prob)| (text(*id), Value::from(*log_prob)));
            Value::Object(pairs.collect::<Map<_, _>>())
        });
        self.top.push(top.unwrap_or(Value::Null));
    }

    fn json(self) -> Value {
        if self.texts.is_empty() {
            return Value::Null;
        }
        json!({
            "tokens": self.texts, "token_logprobs": self.log_probs, "top_logprobs": self.top, "text_offset": self.offsets,
        })
    }
}

//! The response to a chat completion, whole or in chunks.

use std::sync::Arc;

use futures::StreamExt as _;
use model::sampling::LogProbs;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::completion::{self, Completion, Usage};
use crate::engine::{CompletionEvent, FinishReason, Token};
use crate::load::LoadedModel;
use crate::reasoning::{self, ReasoningParser};
use crate::tool_calls::{ParsedPart, ToolCall, ToolCallFormat, ToolCallParser};

/// The fields that all chunks of a response share.
#[derive(Clone, Debug)]
pub(crate) struct ChatResponse {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    /// Parser of tool calls, if there may be any.
    pub(crate) tool_calls: Option<(ToolCallFormat, ToolCallParser)>,
    /// Parser of reasoning, if the model thinks.
    pub(crate) reasoning: Option<ReasoningParser>,
}

/// A part of a completion.
#[derive(Clone, Debug)]
pub(crate) enum CompletionPart {
    Reasoning(String),
    Text(String),
    ToolCall(ToolCall),
}

impl From<ParsedPart> for CompletionPart {
    fn from(part: ParsedPart) -> Self {
        match part {
            ParsedPart::Text(text) => Self::Text(text),
            ParsedPart::ToolCall(call) => Self::ToolCall(call),
        }
    }
}

/// One choice while it is parsed.
#[derive(Debug)]
pub(crate) struct Choice {
    parser: Option<(ToolCallFormat, ToolCallParser)>,
    reasoning: Option<ReasoningParser>,
}

impl Choice {
    pub(crate) fn push(&mut self, text: String) -> Vec<CompletionPart> {
        match &mut self.reasoning {
            None => self.push_answer(text),
            Some(reasoning) => {
                let parts = reasoning.push(&text);
                parts.into_iter().flat_map(|part| self.push_part(part)).collect()
            }
        }
    }

    fn push_part(&mut self, part: reasoning::Text) -> Vec<CompletionPart> {
        match part {
            reasoning::Text::Reasoning(text) => vec![CompletionPart::Reasoning(text)],
            reasoning::Text::Answer(text) => self.push_answer(text),
        }
    }

    fn push_answer(&mut self, text: String) -> Vec<CompletionPart> {
        match &mut self.parser {
            Some((_, parser)) => parser.push(&text).into_iter().map(CompletionPart::from).collect(),
            None if text.is_empty() => Vec::new(),
            None => vec![CompletionPart::Text(text)],
        }
    }

    pub(crate) fn finish(&mut self) -> Vec<CompletionPart> {
        let rest = self
            .reasoning
            .as_mut()
            .map_or_else(Vec::new, ReasoningParser::finish);
        let mut parts: Vec<CompletionPart> = rest.into_iter().flat_map(|part| self.push_part(part)).collect();
        if let Some((_, parser)) = &mut self.parser {
            parts.extend(parser.finish().into_iter().map(CompletionPart::from));
        }
        parts
    }

    fn calls(&self) -> usize {
        self.parser.as_ref().map_or(0, |(_, parser)| parser.calls())
    }

    /// Returns a call in OpenAI's shape, with a random id.
    pub(crate) fn call(&self, call: &ToolCall) -> Value {
        let length = self.parser.as_ref().map_or(0, |(format, _)| format.id_length());
        let id: String = (0..length).map(|_| fastrand::alphanumeric()).collect();
        json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
    }

    fn reason(&self, reason: FinishReason) -> &'static str {
        if reason == FinishReason::Stop && self.calls() > 0 {
            "tool_calls"
        } else {
            reason.as_str()
        }
    }
}

impl ChatResponse {
    /// Returns the whole response.
    pub(crate) fn json(&self, model: &LoadedModel, completions: &[Completion], mut usage: Usage) -> Value {
        for completion in completions {
            usage.add(&completion.finish);
        }
        let choice = |(index, completion): (usize, &Completion)| {
            let (message, reason) = self.message(completion);
            json!({
                "index": index,
                "message": message,
                "logprobs": log_probs(model, &completion.tokens),
                "finish_reason": reason,
            })
        };
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": completions.iter().enumerate().map(choice).collect::<Vec<_>>(),
            "usage": usage.json(),
        })
    }

    fn message(&self, completion: &Completion) -> (Value, &'static str) {
        let mut choice = self.choice();
        let mut parts = choice.push(completion.text.clone());
        parts.extend(choice.finish());
        let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
        for part in parts {
            match part {
                CompletionPart::Reasoning(piece) => reasoning.push_str(&piece),
                CompletionPart::Text(piece) => text.push_str(&piece),
                CompletionPart::ToolCall(call) => calls.push(choice.call(&call)),
            }
        }
        let reason = choice.reason(completion.finish.reason);
        let mut message = json!({"role": "assistant", "content": text});
        if !reasoning.is_empty() {
            message["reasoning_content"] = reasoning.into();
        }
        if !calls.is_empty() {
            if text.is_empty() {
                message["content"] = Value::Null;
            }
            message["tool_calls"] = calls.into();
        }
        (message, reason)
    }

    /// Returns the parser of one choice.
    pub(crate) fn choice(&self) -> Choice {
        Choice {
            parser: self.tool_calls.clone(),
            reasoning: self.reasoning.clone(),
        }
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model, "choices": choices,
        })
    }

    fn delta(&self, index: usize, delta: &Value, log_probs: &Value, reason: Option<&str>) -> Value {
        self.chunk(&json!([{
            "index": index, "delta": delta, "logprobs": log_probs, "finish_reason": reason,
        }]))
    }

    /// Returns the chunks of parts that are certain. The first chunk has the log probabilities, or a chunk without text.
    fn deltas(
        &self,
        index: usize,
        choice: &Choice,
        parts: Vec<CompletionPart>,
        log_probs: Value,
    ) -> Vec<Value> {
        let mut log_probs = log_probs;
        let mut call_index = choice.calls()
            - parts
                .iter()
                .filter(|part| matches!(part, CompletionPart::ToolCall(_)))
                .count();
        let mut chunks = Vec::new();
        for part in parts {
            let delta = match part {
                CompletionPart::Reasoning(text) => json!({"reasoning_content": text}),
                CompletionPart::Text(text) => json!({"content": text}),
                CompletionPart::ToolCall(call) => {
                    let mut call = choice.call(&call);
                    call["index"] = call_index.into();
                    call_index += 1;
                    json!({"tool_calls": [call]})
                }
            };
            chunks.push(self.delta(index, &delta, &log_probs.take(), None));
        }
        if !log_probs.is_null() {
            // A token whose text is held back still has its log probabilities.
            chunks.push(self.delta(index, &json!({"content": ""}), &log_probs, None));
        }
        chunks
    }
}

/// Returns the chunks of all choices as they come.
pub(crate) fn stream(
    response: ChatResponse,
    model: Arc<LoadedModel>,
    receivers: Vec<UnboundedReceiver<CompletionEvent>>,
    mut usage: Usage,
    include_usage: bool,
) -> impl futures::Stream<Item = Value> + Send + 'static {
    let role = json!({"role": "assistant", "content": ""});
    let first: Vec<Value> = (0..receivers.len())
        .map(|index| response.delta(index, &role, &Value::Null, None))
        .collect();
    let mut choices: Vec<Choice> = receivers.iter().map(|_| response.choice()).collect();
    let mut open = receivers.len();
    let events = completion::merged(receivers).flat_map(move |(index, event)| {
        let choice = &mut choices[index];
        let chunks = match event {
            CompletionEvent::Prompt(_) => Vec::new(),
            CompletionEvent::Token(token) => {
                let log_probs = log_probs(&model, std::slice::from_ref(&token));
                let parts = choice.push(token.text);
                response.deltas(index, choice, parts, log_probs)
            }
            CompletionEvent::Finish(finish) => {
                usage.add(&finish);
                open -= 1;
                let mut parts = choice.push(finish.text.clone());
                parts.extend(choice.finish());
                let mut chunks = response.deltas(index, choice, parts, Value::Null);
                let reason = choice.reason(finish.reason);
                let last = response.delta(index, &json!({}), &Value::Null, Some(reason));
                chunks.push(completion::failure(&finish).unwrap_or(last));
                if open == 0 && include_usage {
                    let mut last = response.chunk(&json!([]));
                    last["usage"] = usage.json();
                    chunks.push(last);
                }
                chunks
            }
        };
        futures::stream::iter(chunks)
    });
    futures::stream::iter(first).chain(events)
}

fn log_probs(model: &LoadedModel, tokens: &[Token]) -> Value {
    let entry = |token: &Token| {
        let probs: &LogProbs = token.log_probs.as_ref()?;
        let mut own = token_log_prob(model, token.id, probs.chosen);
        own["top_logprobs"] = probs
            .top
            .iter()
            .map(|(id, log_prob)| token_log_prob(model, *id, *log_prob))
            .collect();
        Some(own)
    };
    let entries: Option<Vec<Value>> = tokens.iter().map(entry).collect();
    match entries {
        Some(entries) if !entries.is_empty() => json!({"content": entries}),
        _ => Value::Null,
    }
}

fn token_log_prob(model: &LoadedModel, id: u32, log_prob: f32) -> Value {
    let text = model.tokenizer.decode(&[id], false).unwrap_or_default();
    json!({"token": text, "logprob": log_prob, "bytes": text.as_bytes()})
}

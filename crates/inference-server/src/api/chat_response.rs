//! What a chat is answered with, whole or in chunks.

use std::sync::Arc;

use futures::StreamExt as _;
use model::sampling::LogProbs;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::completion::{self, Answer, Usage};
use crate::engine::{Event, Reason, Token};
use crate::load::Served;
use crate::tool_calls::{Call, Form, Part, Reader};

/// What all parts of a reply have in common.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    /// Reads calls of functions, if there may be any.
    pub(crate) calls: Option<(Form, Reader)>,
}

/// The parts of one choice so far.
#[derive(Debug)]
struct Choice {
    reader: Option<(Form, Reader)>,
}

impl Choice {
    fn push(&mut self, text: String) -> Vec<Part> {
        match &mut self.reader {
            Some((_, reader)) => reader.push(&text),
            None if text.is_empty() => Vec::new(),
            None => vec![Part::Text(text)],
        }
    }

    fn finish(&mut self) -> Vec<Part> {
        self.reader
            .as_mut()
            .map_or_else(Vec::new, |(_, reader)| reader.finish())
    }

    fn calls(&self) -> usize {
        self.reader.as_ref().map_or(0, |(_, reader)| reader.calls())
    }

    /// A call as clients know it. Their ids only have to differ.
    fn call(&self, call: &Call) -> Value {
        let length = self.reader.as_ref().map_or(0, |(form, _)| form.id_length());
        let id: String = (0..length).map(|_| fastrand::alphanumeric()).collect();
        json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
    }

    fn reason(&self, reason: Reason) -> &'static str {
        if reason == Reason::Stop && self.calls() > 0 {
            "tool_calls"
        } else {
            reason.as_str()
        }
    }
}

impl Reply {
    pub(crate) fn whole(&self, served: &Served, answers: &[Answer], mut usage: Usage) -> Value {
        answers.iter().for_each(|answer| usage.add(&answer.end));
        let choice = |(index, answer): (usize, &Answer)| {
            let (message, reason) = self.message(answer);
            json!({
                "index": index,
                "message": message,
                "logprobs": log_probs(served, &answer.tokens),
                "finish_reason": reason,
            })
        };
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": answers.iter().enumerate().map(choice).collect::<Vec<_>>(),
            "usage": usage.json(),
        })
    }

    fn message(&self, answer: &Answer) -> (Value, &'static str) {
        let mut choice = self.choice();
        let mut parts = choice.push(answer.text.clone());
        parts.extend(choice.finish());
        let (mut text, mut calls) = (String::new(), Vec::new());
        for part in parts {
            match part {
                Part::Text(piece) => text.push_str(&piece),
                Part::Call(call) => calls.push(choice.call(&call)),
            }
        }
        let reason = choice.reason(answer.end.reason);
        let mut message = json!({"role": "assistant", "content": text});
        if !calls.is_empty() {
            if text.is_empty() {
                message["content"] = Value::Null;
            }
            message["tool_calls"] = calls.into();
        }
        (message, reason)
    }

    fn choice(&self) -> Choice {
        Choice {
            reader: self.calls.clone(),
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

    /// Chunks of what has become certain. Log probabilities go with the first of them, or alone.
    fn deltas(&self, index: usize, choice: &Choice, parts: Vec<Part>, log_probs: Value) -> Vec<Value> {
        let mut log_probs = log_probs;
        let mut number = choice.calls() - parts.iter().filter(|part| matches!(part, Part::Call(_))).count();
        let mut chunks = Vec::new();
        for part in parts {
            let delta = match part {
                Part::Text(text) => json!({"content": text}),
                Part::Call(call) => {
                    let mut call = choice.call(&call);
                    call["index"] = number.into();
                    number += 1;
                    json!({"tool_calls": [call]})
                }
            };
            chunks.push(self.delta(index, &delta, &log_probs.take(), None));
        }
        if !log_probs.is_null() {
            // A token whose text is held back says nothing, unless somebody counts.
            chunks.push(self.delta(index, &json!({"content": ""}), &log_probs, None));
        }
        chunks
    }
}

/// The chunks of all choices as they come.
pub(crate) fn stream(
    reply: Reply,
    served: Arc<Served>,
    receivers: Vec<UnboundedReceiver<Event>>,
    mut usage: Usage,
    with_usage: bool,
) -> impl futures::Stream<Item = Value> + Send + 'static {
    let begin = json!({"role": "assistant", "content": ""});
    let first: Vec<Value> = (0..receivers.len())
        .map(|index| reply.delta(index, &begin, &Value::Null, None))
        .collect();
    let mut choices: Vec<Choice> = receivers.iter().map(|_| reply.choice()).collect();
    let mut open = receivers.len();
    let events = completion::merged(receivers).flat_map(move |(index, event)| {
        let choice = &mut choices[index];
        let chunks = match event {
            Event::Token(token) => {
                let log_probs = log_probs(&served, std::slice::from_ref(&token));
                let parts = choice.push(token.text);
                reply.deltas(index, choice, parts, log_probs)
            }
            Event::End(end) => {
                usage.add(&end);
                open -= 1;
                let mut parts = choice.push(end.text.clone());
                parts.extend(choice.finish());
                let mut chunks = reply.deltas(index, choice, parts, Value::Null);
                let reason = choice.reason(end.reason);
                let last = reply.delta(index, &json!({}), &Value::Null, Some(reason));
                chunks.push(completion::failure(&end).unwrap_or(last));
                if open == 0 && with_usage {
                    let mut last = reply.chunk(&json!([]));
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

fn log_probs(served: &Served, tokens: &[Token]) -> Value {
    let entry = |token: &Token| {
        let probs: &LogProbs = token.log_probs.as_ref()?;
        let mut own = spelled(served, token.id, probs.chosen);
        own["top_logprobs"] = probs
            .top
            .iter()
            .map(|(id, log_prob)| spelled(served, *id, *log_prob))
            .collect();
        Some(own)
    };
    let entries: Option<Vec<Value>> = tokens.iter().map(entry).collect();
    match entries {
        Some(entries) if !entries.is_empty() => json!({"content": entries}),
        _ => Value::Null,
    }
}

fn spelled(served: &Served, id: u32, log_prob: f32) -> Value {
    let text = served.tokenizer.decode(&[id], false).unwrap_or_default();
    json!({"token": text, "logprob": log_prob, "bytes": text.as_bytes()})
}

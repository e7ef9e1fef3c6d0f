//! The response of `/v1/responses`, whole or as events.

use std::convert::Infallible;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::chat_response::{ChatResponse, Choice, CompletionPart};
use super::completion::{self, Completion, Usage};
use crate::engine::{CompletionEvent, Finish, FinishReason};

/// The response before its output.
#[derive(Clone, Debug)]
pub(crate) struct ResponseBase {
    response: Value,
    /// Id of the request, from which ids of items are made.
    id: String,
}

impl ResponseBase {
    pub(crate) fn new(response: Value, id: &str) -> Self {
        Self {
            response,
            id: id.to_owned(),
        }
    }

    /// Sets the name of the model.
    pub(crate) fn of_model(mut self, name: &str) -> Self {
        self.response["model"] = name.into();
        self
    }

    /// Returns the finished response.
    fn finished(&self, output: Vec<Value>, finish: &Finish, usage: Usage) -> Value {
        let mut response = self.response.clone();
        let cut = finish.reason == FinishReason::Length;
        response["status"] = if cut { "incomplete" } else { "completed" }.into();
        if cut {
            response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        response["output"] = output.into();
        response["usage"] = usage.response_json();
        response
    }
}

/// Returns the whole response.
pub(crate) fn json(
    base: ResponseBase,
    response: &ChatResponse,
    completion: &Completion,
    mut usage: Usage,
) -> Value {
    usage.add(&completion.finish);
    let mut choice = response.choice();
    let mut parts = choice.push(completion.text.clone());
    parts.extend(choice.finish());
    let mut items = Items::new(base);
    for part in parts {
        items.push(&choice, part);
    }
    items.close();
    items.base.finished(items.output, &completion.finish, usage)
}

/// Returns the events of a response as they come.
pub(crate) fn stream(
    base: ResponseBase,
    response: &ChatResponse,
    receivers: Vec<UnboundedReceiver<CompletionEvent>>,
    mut usage: Usage,
) -> impl Stream<Item = Value> + Send + use<> {
    let mut items = Items::new(base);
    let begun = items.base.response.clone();
    items.event("response.created", json!({"response": begun}));
    items.event("response.in_progress", json!({"response": begun}));
    let first = std::mem::take(&mut items.events);
    let mut choice = response.choice();
    let events = completion::merged(receivers).flat_map(move |(_, event)| {
        match event {
            CompletionEvent::Prompt(_) => {}
            CompletionEvent::Token(token) => {
                for part in choice.push(token.text) {
                    items.push(&choice, part);
                }
            }
            CompletionEvent::Finish(finish) => {
                usage.add(&finish);
                let mut parts = choice.push(finish.text.clone());
                parts.extend(choice.finish());
                for part in parts {
                    items.push(&choice, part);
                }
                items.end(&finish, usage);
            }
        }
        futures::stream::iter(std::mem::take(&mut items.events))
    });
    futures::stream::iter(first).chain(events)
}

/// Returns a stream of server-sent events, each with its name.
pub(crate) fn sse(
    events: impl Stream<Item = Value> + Send + 'static,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let named = events.map(|event| {
        let name = event["type"].as_str().unwrap_or("error").to_owned();
        Ok(Event::default().event(name).data(event.to_string()))
    });
    // Comments keep the connection alive, so that a proxy does not close it during a long prompt.
    Sse::new(named).keep_alive(KeepAlive::default())
}

/// Kind of an item of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ItemKind {
    Reasoning,
    Message,
}

impl ItemKind {
    /// Returns the type of its content, which is also a part of the names of events.
    fn content(self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning_text",
            Self::Message => "output_text",
        }
    }
}

/// The items of a response while they are written, and the events about them.
#[derive(Debug)]
struct Items {
    base: ResponseBase,
    /// Finished items.
    output: Vec<Value>,
    /// The item that text is added to.
    open: Option<(ItemKind, String)>,
    events: Vec<Value>,
    /// Number of events so far.
    sequence: usize,
}

impl Items {
    fn new(base: ResponseBase) -> Self {
        Self {
            base,
            output: Vec::new(),
            open: None,
            events: Vec::new(),
            sequence: 0,
        }
    }

    fn event(&mut self, name: &str, mut fields: Value) {
        fields["type"] = name.into();
        fields["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        self.events.push(fields);
    }

    /// Adds an event about the item at hand.
    fn item_event(&mut self, name: &str, mut fields: Value) {
        fields["output_index"] = self.output.len().into();
        self.event(name, fields);
    }

    fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}_{}", self.base.id, self.output.len())
    }

    fn push(&mut self, choice: &Choice, part: CompletionPart) {
        match part {
            CompletionPart::Reasoning(text) => self.push_text(ItemKind::Reasoning, &text),
            CompletionPart::Text(text) => self.push_text(ItemKind::Message, &text),
            CompletionPart::ToolCall(call) => {
                self.close();
                let call = choice.call(&call);
                let (function, id) = (&call["function"], self.id("fc"));
                let arguments = function["arguments"].clone();
                let mut item = json!({
                    "type": "function_call", "id": id, "call_id": call["id"], "name": function["name"],
                    "arguments": "", "status": "in_progress",
                });
                self.item_event("response.output_item.added", json!({"item": item}));
                let delta = json!({"item_id": id, "delta": arguments});
                self.item_event("response.function_call_arguments.delta", delta);
                let done = json!({"item_id": id, "name": function["name"], "arguments": arguments});
                self.item_event("response.function_call_arguments.done", done);
                item["arguments"] = arguments;
                item["status"] = "completed".into();
                self.item_event("response.output_item.done", json!({"item": item}));
                self.output.push(item);
            }
        }
    }

    fn push_text(&mut self, kind: ItemKind, text: &str) {
        if self.open.as_ref().is_none_or(|(open, _)| *open != kind) {
            self.close();
            let item = self.item(kind, None);
            self.item_event("response.output_item.added", json!({"item": item}));
            let part = content(kind, "");
            let fields = json!({"item_id": item["id"], "content_index": 0, "part": part});
            self.item_event("response.content_part.added", fields);
            self.open = Some((kind, String::new()));
        }
        if let Some((_, open)) = &mut self.open {
            open.push_str(text);
        }
        let id = self.item(kind, None)["id"].clone();
        let mut fields = json!({"item_id": id, "content_index": 0, "delta": text});
        if kind == ItemKind::Message {
            fields["logprobs"] = json!([]);
        }
        self.item_event(&format!("response.{}.delta", kind.content()), fields);
    }

    /// Returns the item at hand; without its text while it is open.
    fn item(&self, kind: ItemKind, text: Option<&str>) -> Value {
        let status = if text.is_some() {
            "completed"
        } else {
            "in_progress"
        };
        let parts: Vec<Value> = text.into_iter().map(|text| content(kind, text)).collect();
        match kind {
            ItemKind::Reasoning => json!({
                "type": "reasoning", "id": self.id("rs"), "summary": [], "content": parts, "status": status,
            }),
            ItemKind::Message => json!({
                "type": "message", "id": self.id("msg"), "role": "assistant", "content": parts, "status": status,
            }),
        }
    }

    /// Finishes the open item.
    fn close(&mut self) {
        let Some((kind, text)) = self.open.take() else {
            return;
        };
        let item = self.item(kind, Some(&text));
        let mut fields = json!({"item_id": item["id"], "content_index": 0, "text": text});
        if kind == ItemKind::Message {
            fields["logprobs"] = json!([]);
        }
        self.item_event(&format!("response.{}.done", kind.content()), fields);
        let fields = json!({"item_id": item["id"], "content_index": 0, "part": content(kind, &text)});
        self.item_event("response.content_part.done", fields);
        self.item_event("response.output_item.done", json!({"item": item}));
        self.output.push(item);
    }

    /// Adds the last event.
    fn end(&mut self, finish: &Finish, usage: Usage) {
        self.close();
        if let Some(error) = completion::failure(finish) {
            let error = &error["error"];
            let fields = json!({"code": error["code"], "message": error["message"], "param": error["param"]});
            self.event("error", fields);
            return;
        }
        let response = self.base.finished(self.output.clone(), finish, usage);
        let name = match finish.reason {
            FinishReason::Length => "response.incomplete",
            FinishReason::Stop | FinishReason::Failed => "response.completed",
        };
        self.event(name, json!({"response": response}));
    }
}

fn content(kind: ItemKind, text: &str) -> Value {
    match kind {
        ItemKind::Reasoning => json!({"type": kind.content(), "text": text}),
        ItemKind::Message => json!({"type": kind.content(), "text": text, "annotations": [], "logprobs": []}),
    }
}

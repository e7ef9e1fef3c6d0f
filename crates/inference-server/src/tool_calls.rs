//! Parses tool calls in the text of a completion.
//!
//! Pure. A model writes calls in the format of its chat template, by which the format is recognized. Text that may begin a call is
//! held back until it is decided, and stays text if it is not a call.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Syntax that a model uses for tool calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolCallFormat {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`, repeated: Hermes, Qwen, SmolLM 3.
    Tagged,
    /// This marker, then a list of `{"name": …, "arguments": …}`, or `name{…}`: Mistral, Granite.
    Marked(&'static str),
    /// Only `{"name": …, "parameters": …}`, without other text: Llama 3.
    Bare,
}

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const MISTRAL: &str = "[TOOL_CALLS]";
const MISTRAL_ARGUMENTS: &str = "[ARGS]";
const GRANITE: &str = "<|tool_call|>";
const LLAMA: &str = "<|python_tag|>";

impl ToolCallFormat {
    /// Returns the format of a chat template, if it uses one of these.
    pub(crate) fn of_template(template: &str) -> Option<Self> {
        let has = |part: &str| template.contains(part);
        if has(MISTRAL) {
            Some(Self::Marked(MISTRAL))
        } else if has(GRANITE) {
            Some(Self::Marked(GRANITE))
        } else if has(OPEN) {
            Some(Self::Tagged)
        } else if has(LLAMA) || has("\"parameters\": dictionary") {
            Some(Self::Bare)
        } else {
            None
        }
    }

    /// Returns the tokens that the text must show even if the vocabulary marks them as special.
    pub(crate) fn markers(self) -> Vec<&'static str> {
        match self {
            Self::Tagged => vec![OPEN, CLOSE],
            Self::Marked(marker) => vec![marker, MISTRAL_ARGUMENTS],
            Self::Bare => vec![LLAMA],
        }
    }

    /// Returns the length of a call id. Mistral's templates require nine characters.
    pub(crate) fn id_length(self) -> usize {
        if self == Self::Marked(MISTRAL) { 9 } else { 24 }
    }

    /// Returns the text that begins a call.
    fn opening(self) -> &'static str {
        match self {
            Self::Tagged => OPEN,
            Self::Marked(marker) => marker,
            Self::Bare => LLAMA,
        }
    }
}

/// A call that the model wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    /// JSON, as the model wrote it.
    pub(crate) arguments: String,
}

/// A part of a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParsedPart {
    Text(String),
    ToolCall(ToolCall),
}

/// Parses one completion.
#[derive(Clone, Debug)]
pub(crate) struct ToolCallParser {
    format: ToolCallFormat,
    /// Names of the functions in the request.
    known: Vec<String>,
    /// Allow several calls. Otherwise all but the first are dropped.
    parallel: bool,
    /// Text that is not decided yet.
    held: String,
    /// Whitespace at the end of the text so far. It belongs to the text only if more text follows.
    whitespace: String,
    /// `held` begins with a possible call.
    inside: bool,
    started: bool,
    calls: usize,
}

impl ToolCallParser {
    pub(crate) fn new(format: ToolCallFormat, known: Vec<String>, parallel: bool) -> Self {
        Self {
            format,
            known,
            parallel,
            held: String::new(),
            whitespace: String::new(),
            inside: false,
            started: false,
            calls: 0,
        }
    }

    /// Returns the number of calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// Adds a piece and returns the parts that are certain.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<ParsedPart> {
        let searched = self.held.len();
        self.held.push_str(piece);
        let mut parts = Vec::new();
        if !self.inside && !self.release_text(&mut parts) {
            return parts;
        }
        if self.format == ToolCallFormat::Tagged {
            let mut from = self
                .held
                .floor_char_boundary(searched.saturating_sub(CLOSE.len()));
            while let Some(at) = self.held.get(from..).and_then(|rest| rest.find(CLOSE)) {
                let rest = self.held.split_off(from + at + CLOSE.len());
                let call = std::mem::replace(&mut self.held, rest);
                self.decide(&call, &mut parts);
                self.inside = false;
                from = 0;
                if !self.release_text(&mut parts) {
                    break;
                }
            }
        }
        parts
    }

    /// Returns the text that was held back, at the end.
    pub(crate) fn finish(&mut self) -> Vec<ParsedPart> {
        let mut parts = Vec::new();
        let held = std::mem::take(&mut self.held);
        if self.inside {
            self.decide(&held, &mut parts);
        } else {
            self.text(&held, &mut parts);
        }
        if self.calls == 0 && !self.whitespace.is_empty() {
            parts.push(ParsedPart::Text(std::mem::take(&mut self.whitespace)));
        }
        parts
    }

    /// Releases the text before a possible call. Returns true if one has begun.
    fn release_text(&mut self, parts: &mut Vec<ParsedPart>) -> bool {
        if self.format == ToolCallFormat::Bare && !self.started {
            match self.held.trim_start().chars().next() {
                None => return false,
                Some('{') => self.inside = true,
                Some(_) => {}
            }
        }
        self.started |= !self.held.trim_start().is_empty();
        if self.inside {
            return true;
        }
        let opening = self.format.opening();
        let (end, found) = match self.held.find(opening) {
            Some(at) => (at, true),
            None => (self.held.len() - overlap(&self.held, opening), false),
        };
        let rest = self.held.split_off(end);
        let text = std::mem::replace(&mut self.held, rest);
        self.text(&text, parts);
        self.inside = found;
        found
    }

    fn text(&mut self, text: &str, parts: &mut Vec<ParsedPart>) {
        self.whitespace.push_str(text);
        let end = self.whitespace.trim_end().len();
        if end > 0 {
            let rest = self.whitespace.split_off(end);
            parts.push(ParsedPart::Text(std::mem::replace(&mut self.whitespace, rest)));
        }
    }

    /// Turns a possible call into calls, or into text.
    fn decide(&mut self, text: &str, parts: &mut Vec<ParsedPart>) {
        match self.read(text) {
            Some(mut calls) => {
                if !self.parallel {
                    calls.truncate(1 - self.calls.min(1));
                }
                self.calls += calls.len();
                self.whitespace.clear();
                parts.extend(calls.into_iter().map(ParsedPart::ToolCall));
            }
            None => self.text(text, parts),
        }
    }

    fn read(&self, text: &str) -> Option<Vec<ToolCall>> {
        match self.format {
            ToolCallFormat::Tagged => {
                let inner = text.strip_prefix(OPEN)?;
                // The last tag may be absent: it is a special token of some models.
                objects(inner.strip_suffix(CLOSE).unwrap_or(inner))
            }
            ToolCallFormat::Marked(marker) => {
                let mut calls = Vec::new();
                for part in text.split(marker).map(str::trim).filter(|part| !part.is_empty()) {
                    calls.extend(objects(part).or_else(|| named(part))?);
                }
                (!calls.is_empty()).then_some(calls)
            }
            ToolCallFormat::Bare => {
                let text = text.trim_start();
                let calls = objects(text.strip_prefix(LLAMA).unwrap_or(text))?;
                // Without a marker any object looks like a call.
                let is_known = |call: &ToolCall| self.known.contains(&call.name);
                calls.iter().all(is_known).then_some(calls)
            }
        }
    }
}

#[derive(Deserialize)]
struct Object {
    name: String,
    #[serde(alias = "parameters")]
    arguments: Option<Box<RawValue>>,
}

/// Parses calls as objects or lists of objects, separated by whitespace and `;`.
fn objects(text: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if rest.is_empty() {
            break;
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let value = values.next()?.ok()?.get();
        rest = rest.get(values.byte_offset()..)?;
        if value.starts_with('[') {
            calls.extend(serde_json::from_str::<Vec<Object>>(value).ok()?);
        } else {
            calls.push(serde_json::from_str::<Object>(value).ok()?);
        }
    }
    let calls: Vec<ToolCall> = calls.into_iter().map(Object::call).collect();
    (!calls.is_empty()).then_some(calls)
}

/// Parses `name{…}` or `name[ARGS]{…}`.
fn named(text: &str) -> Option<Vec<ToolCall>> {
    let (name, arguments) = text.split_at_checked(text.find('{')?)?;
    let name = name.trim().trim_end_matches(MISTRAL_ARGUMENTS).trim();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let arguments: &RawValue = serde_json::from_str(arguments).ok()?;
    (!name.is_empty() && name.chars().all(is_name)).then(|| {
        vec![ToolCall {
            name: name.to_owned(),
            arguments: arguments.get().to_owned(),
        }]
    })
}

impl Object {
    fn call(self) -> ToolCall {
        let arguments = self.arguments.map_or_else(
            || "{}".to_owned(),
            |raw| {
                let text = raw.get();
                // Some models encode the JSON as a string once more.
                serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned())
            },
        );
        ToolCall {
            name: self.name,
            arguments,
        }
    }
}

/// Returns the number of bytes at the end of `text` that begin `marker`.
fn overlap(text: &str, marker: &str) -> usize {
    let lengths = (1..marker.len()).rev();
    lengths
        .filter(|length| marker.is_char_boundary(*length))
        .find(|length| text.ends_with(&marker[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;

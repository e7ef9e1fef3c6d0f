//! Calls of functions in the text of an answer.
//!
//! Pure. Models write calls in the form their template taught them; a form is recognised by the template. What only looks like
//! the beginning of a call is held back until that is decided, and stays text if it is none.

use serde::Deserialize;
use serde_json::value::RawValue;

/// How a model writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`, several after each other: Hermes, Qwen, SmolLM 3.
    Tagged,
    /// This mark and then a list of `{"name": …, "arguments": …}`, or `name{…}`: Mistral, Granite.
    Marked(&'static str),
    /// An answer that is nothing but `{"name": …, "parameters": …}`: Llama 3.
    Bare,
}

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const MISTRAL: &str = "[TOOL_CALLS]";
const MISTRAL_ARGUMENTS: &str = "[ARGS]";
const GRANITE: &str = "<|tool_call|>";
const LLAMA: &str = "<|python_tag|>";

impl Form {
    /// The form that a chat template asks for, if it knows functions in one of these.
    pub(crate) fn of(template: &str) -> Option<Self> {
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

    /// Tokens that have to be written out, also where a vocabulary calls them special.
    pub(crate) fn marks(self) -> Vec<&'static str> {
        match self {
            Self::Tagged => vec![OPEN, CLOSE],
            Self::Marked(mark) => vec![mark, MISTRAL_ARGUMENTS],
            Self::Bare => vec![LLAMA],
        }
    }

    /// Characters of an id: templates of Mistral insist on nine.
    pub(crate) fn id_length(self) -> usize {
        if self == Self::Marked(MISTRAL) { 9 } else { 24 }
    }

    /// What a call begins with.
    fn opening(self) -> &'static str {
        match self {
            Self::Tagged => OPEN,
            Self::Marked(mark) => mark,
            Self::Bare => LLAMA,
        }
    }
}

/// A function the model wants to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// JSON, as the model wrote it.
    pub(crate) arguments: String,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Call(Call),
}

/// Reads one answer.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    form: Form,
    /// Names of the functions there are.
    known: Vec<String>,
    /// Whether there may be more than one call; the others are left out otherwise.
    several: bool,
    /// What is not decided yet.
    held: String,
    /// Blanks at the end of the text so far: they belong to it only if more text follows.
    blanks: String,
    /// `held` begins with what may be a call.
    inside: bool,
    started: bool,
    calls: usize,
}

impl Reader {
    pub(crate) fn new(form: Form, known: Vec<String>, several: bool) -> Self {
        Self {
            form,
            known,
            several,
            held: String::new(),
            blanks: String::new(),
            inside: false,
            started: false,
            calls: 0,
        }
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// Adds a piece of the answer; gives what is certain now.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<Part> {
        let searched = self.held.len();
        self.held.push_str(piece);
        let mut parts = Vec::new();
        if !self.inside && !self.opened(&mut parts) {
            return parts;
        }
        if self.form == Form::Tagged {
            let mut from = self
                .held
                .floor_char_boundary(searched.saturating_sub(CLOSE.len()));
            while let Some(at) = self.held.get(from..).and_then(|rest| rest.find(CLOSE)) {
                let rest = self.held.split_off(from + at + CLOSE.len());
                let call = std::mem::replace(&mut self.held, rest);
                self.decide(&call, &mut parts);
                self.inside = false;
                from = 0;
                if !self.opened(&mut parts) {
                    break;
                }
            }
        }
        parts
    }

    /// What was held back, once the answer is over.
    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let mut parts = Vec::new();
        let held = std::mem::take(&mut self.held);
        if self.inside {
            self.decide(&held, &mut parts);
        } else {
            self.text(&held, &mut parts);
        }
        if self.calls == 0 && !self.blanks.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut self.blanks)));
        }
        parts
    }

    /// Lets text go up to where a call may begin; whether one has begun.
    fn opened(&mut self, parts: &mut Vec<Part>) -> bool {
        if self.form == Form::Bare && !self.started {
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
        let opening = self.form.opening();
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

    fn text(&mut self, text: &str, parts: &mut Vec<Part>) {
        self.blanks.push_str(text);
        let end = self.blanks.trim_end().len();
        if end > 0 {
            let rest = self.blanks.split_off(end);
            parts.push(Part::Text(std::mem::replace(&mut self.blanks, rest)));
        }
    }

    /// What looked like calls becomes calls, or text.
    fn decide(&mut self, text: &str, parts: &mut Vec<Part>) {
        match self.read(text) {
            Some(mut calls) => {
                if !self.several {
                    calls.truncate(1 - self.calls.min(1));
                }
                self.calls += calls.len();
                self.blanks.clear();
                parts.extend(calls.into_iter().map(Part::Call));
            }
            None => self.text(text, parts),
        }
    }

    fn read(&self, text: &str) -> Option<Vec<Call>> {
        match self.form {
            Form::Tagged => {
                let inner = text.strip_prefix(OPEN)?;
                // An answer may end without its last tag, which is a special token of some.
                objects(inner.strip_suffix(CLOSE).unwrap_or(inner))
            }
            Form::Marked(mark) => {
                let mut calls = Vec::new();
                for part in text.split(mark).map(str::trim).filter(|part| !part.is_empty()) {
                    calls.extend(objects(part).or_else(|| named(part))?);
                }
                (!calls.is_empty()).then_some(calls)
            }
            Form::Bare => {
                let text = text.trim_start();
                let calls = objects(text.strip_prefix(LLAMA).unwrap_or(text))?;
                // Without a mark any object looks like a call.
                let is_known = |call: &Call| self.known.contains(&call.name);
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

/// Calls as objects or lists of objects, one after the other, with nothing between them but blanks and `;`.
fn objects(text: &str) -> Option<Vec<Call>> {
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
    let calls: Vec<Call> = calls.into_iter().map(Object::call).collect();
    (!calls.is_empty()).then_some(calls)
}

/// `name{…}` or `name[ARGS]{…}`.
fn named(text: &str) -> Option<Vec<Call>> {
    let (name, arguments) = text.split_at_checked(text.find('{')?)?;
    let name = name.trim().trim_end_matches(MISTRAL_ARGUMENTS).trim();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let arguments: &RawValue = serde_json::from_str(arguments).ok()?;
    (!name.is_empty() && name.chars().all(is_name)).then(|| {
        vec![Call {
            name: name.to_owned(),
            arguments: arguments.get().to_owned(),
        }]
    })
}

impl Object {
    fn call(self) -> Call {
        let arguments = self.arguments.map_or_else(
            || "{}".to_owned(),
            |raw| {
                let text = raw.get();
                // Some models put the JSON into a string once more.
                serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned())
            },
        );
        Call {
            name: self.name,
            arguments,
        }
    }
}

/// Bytes at the end of `text` that are the beginning of `mark`.
fn overlap(text: &str, mark: &str) -> usize {
    let lengths = (1..mark.len()).rev();
    lengths
        .filter(|length| mark.is_char_boundary(*length))
        .find(|length| text.ends_with(&mark[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;

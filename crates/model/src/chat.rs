//! Chat templates: from a conversation to the text of a prompt.
//!
//! The dialect is that of transformers: Jinja with trimmed blocks, Python's methods on strings, `raise_exception`,
//! `strftime_now` and a `tojson` with Python's spacing. A template is a program in a file: its steps are bounded, and it can read
//! only its arguments.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error as JinjaError, ErrorKind, UndefinedBehavior, Value as Jinja};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::read;

/// Largest file with a template, in bytes.
const TEMPLATE_BYTES: u64 = 16 << 20;
/// Most instructions of one rendering.
const FUEL: u64 = 20_000_000;
const NAME: &str = "chat";

/// A parsed template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// Input of a template.
#[derive(Clone, Debug, Serialize)]
pub struct Conversation {
    /// Objects with `role`, `content` and other fields that the template knows.
    pub messages: Vec<Value>,
    /// Functions the model may call.
    pub tools: Option<Vec<Value>>,
    /// True if the text ends with the start of a response.
    pub add_generation_prompt: bool,
    /// Further arguments by name.
    pub chat_template_kwargs: serde_json::Map<String, Value>,
}

impl ChatTemplate {
    /// Opens the template of a model directory, if it has one: `chat_template.jinja`, else `tokenizer_config.json`.
    ///
    /// # Errors
    /// When a file is malformed or the template cannot be parsed.
    pub fn open(dir: &Path) -> Result<Option<Self>> {
        let tokens = SpecialTokens::open(dir)?;
        let file = dir.join("chat_template.jinja");
        let source = if file.exists() {
            let text = read::bytes(&file, TEMPLATE_BYTES)?;
            Some(String::from_utf8(text).map_err(|_| Error::file(&file, "must be UTF-8"))?)
        } else {
            tokens.template.clone()
        };
        source
            .map(|source| Self::parse(source, tokens.bos, tokens.eos))
            .transpose()
    }

    /// A template from another text, with the model's special tokens.
    ///
    /// # Errors
    /// When `tokenizer_config.json` is malformed or the template cannot be parsed.
    pub fn with_source(dir: &Path, source: String) -> Result<Self> {
        let tokens = SpecialTokens::open(dir)?;
        Self::parse(source, tokens.bos, tokens.eos)
    }

    /// Parses a template.
    ///
    /// # Errors
    /// When the source is malformed.
    pub fn parse(source: String, bos: String, eos: String) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_syntax(syntax()?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_filter("length", length);
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| Error::Template(describe(&error)))?;
        Ok(Self {
            environment,
            bos,
            eos,
        })
    }

    /// Source of the template.
    #[must_use]
    pub fn source(&self) -> String {
        let template = self.environment.get_template(NAME);
        template.map_or_else(|_| String::new(), |template| template.source().to_owned())
    }

    /// Returns the text of a conversation.
    ///
    /// # Errors
    /// When the template refuses the conversation, for example if roles do not alternate, or takes too many steps.
    pub fn render(&self, conversation: &Conversation) -> Result<String> {
        let mut arguments = conversation.chat_template_kwargs.clone();
        arguments.insert("messages".to_owned(), Value::from(conversation.messages.clone()));
        arguments.insert(
            "add_generation_prompt".to_owned(),
            conversation.add_generation_prompt.into(),
        );
        arguments.insert("bos_token".to_owned(), self.bos.clone().into());
        arguments.insert("eos_token".to_owned(), self.eos.clone().into());
        // Templates compare with `none` to find out if there are tools.
        arguments.insert(
            "tools".to_owned(),
            conversation.tools.clone().map_or(Value::Null, Value::from),
        );
        let template = self.environment.get_template(NAME);
        template
            .and_then(|template| template.render(Serde(&arguments)))
            .map_err(|error| Error::Template(describe(&error)))
    }
}

fn syntax() -> Result<SyntaxConfig> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    syntax.map_err(|error| Error::Template(describe(&error)))
}

struct SpecialTokens {
    bos: String,
    eos: String,
    template: Option<String>,
}

impl SpecialTokens {
    fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer_config.json");
        let config: Value = if path.exists() {
            read::json(&path, TEMPLATE_BYTES)?
        } else {
            Value::Null
        };
        Ok(Self {
            bos: token(config.get("bos_token")),
            eos: token(config.get("eos_token")),
            template: default_template(config.get("chat_template")),
        })
    }
}

/// Reads a token: a string, or an object that holds one.
fn token(value: Option<&Value>) -> String {
    let text = value.and_then(|value| value.as_str().or_else(|| value.get("content")?.as_str()));
    text.unwrap_or_default().to_owned()
}

/// Reads a template: a string, or the one named `default` in a list.
fn default_template(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let named = list
                .iter()
                .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"));
            Some(named?.get("template")?.as_str()?.to_owned())
        }
        _ => None,
    }
}

fn describe(error: &JinjaError) -> String {
    match (error.detail(), error.line()) {
        (Some(detail), Some(line)) => format!("{detail} (line {line} of the template)"),
        (Some(detail), None) => detail.to_owned(),
        (None, _) => error.to_string(),
    }
}

fn raise(message: String) -> std::result::Result<String, JinjaError> {
    Err(JinjaError::new(ErrorKind::InvalidOperation, message))
}

/// The only clock of this crate: templates write the date into system messages.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of a template function"
)]
fn strftime_now(format: String) -> std::result::Result<String, JinjaError> {
    jiff::fmt::strtime::format(&format, &jiff::Zoned::now())
        .map_err(|error| JinjaError::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// `length`, which is zero for undefined values.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a template filter")]
fn length(value: Jinja) -> std::result::Result<usize, JinjaError> {
    if value.is_undefined() || value.is_none() {
        return Ok(0);
    }
    value
        .len()
        .ok_or_else(|| JinjaError::new(ErrorKind::InvalidOperation, "expected a value with a length"))
}

/// `json.dumps(ensure_ascii=False)`: a space after `,` and `:`, keys in their order, no escapes for HTML.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of a template function"
)]
fn to_json(value: Jinja, options: minijinja::value::Kwargs) -> std::result::Result<Jinja, JinjaError> {
    let indent: Option<usize> = options.get("indent")?;
    let failed = |error: serde_json::Error| JinjaError::new(ErrorKind::BadSerialization, error.to_string());
    let mut out = Vec::new();
    let spaces = " ".repeat(indent.unwrap_or_default().min(16));
    match indent {
        Some(_) => {
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value
                .serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
                .map_err(failed)?;
        }
        None => {
            value
                .serialize(&mut serde_json::Serializer::with_formatter(&mut out, Python))
                .map_err(failed)?;
        }
    }
    Ok(Jinja::from_safe_string(
        String::from_utf8_lossy(&out).into_owned(),
    ))
}

struct Python;

impl serde_json::ser::Formatter for Python {
    fn begin_array_value<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: std::io::Write + ?Sized>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

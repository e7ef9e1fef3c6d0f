//! A grammar of tool calls: in the syntax that the model knows, with arguments that match the schema of the function. Pure.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

use super::error::GrammarError;
use super::gbnf::literal;
use super::schema::{self, JsonOptions};
use crate::tool_calls::ToolCallFormat;

/// Maximum of calls in one completion, so that a model which finds no end does not fill its context with calls.
const MAX_CALLS: usize = 8;
/// Maximum of the schemas of all functions together, in bytes.
const MAX_BYTES: usize = 2 * schema::MAX_BYTES;

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallableFunction {
    pub(crate) name: String,
    /// Schema of the arguments; a function without one takes no arguments.
    pub(crate) parameters: Option<Value>,
    /// See [`JsonOptions::strict`].
    pub(crate) strict: bool,
}

/// A text that marks calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Text(&'static str),
    /// A special token, by its id, because text does not encode to it.
    Token(u32),
}

/// Calls of these functions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolCallGrammar {
    pub(crate) format: ToolCallFormat,
    /// Marker before calls, and the one after them in formats that close calls.
    pub(crate) markers: Vec<Marker>,
    /// At least one.
    pub(crate) functions: Vec<CallableFunction>,
    /// Allow several calls in one completion.
    pub(crate) parallel: bool,
}

impl ToolCallGrammar {
    pub(super) fn grammar(&self) -> Result<TopLevelGrammar, GrammarError> {
        let mark = |index: usize| self.markers.get(index).map_or_else(String::new, Marker::lark);
        let more = |separator: &str| match self.parallel {
            true => format!("({} call){{0,{}}}", literal(separator), MAX_CALLS - 1),
            false => String::new(),
        };
        let (start, arguments) = match self.format {
            ToolCallFormat::Tagged => {
                let call = format!("{} \"\\n\" one \"\\n\" {}", mark(0), mark(1));
                (format!("start: call {}\ncall: {call}", more("\n")), "arguments")
            }
            ToolCallFormat::Marked(_) => {
                let list = format!("\"[\" call {} \"]\"", more(", "));
                (format!("start: {} {list}\ncall: one", mark(0)), "arguments")
            }
            ToolCallFormat::Bare => ("start: one".to_owned(), "parameters"),
        };
        let names = (0..self.functions.len()).map(|index| format!("f{index}"));
        let mut lines = vec![start, format!("one: {}", names.collect::<Vec<_>>().join(" | "))];
        let mut grammars = Vec::new();
        let mut left = MAX_BYTES;
        for (index, function) in self.functions.iter().enumerate() {
            let head = format!(
                "{{\"name\": {}, \"{arguments}\": ",
                Value::from(function.name.as_str())
            );
            lines.push(format!("f{index}: {} @args{index} \"}}\"", literal(&head)));
            let schema = function.schema()?;
            left = left.saturating_sub(schema.to_string().len());
            if left == 0 {
                return Err(GrammarError::Schemas { max: MAX_BYTES });
            }
            grammars.push(GrammarWithLexer {
                name: Some(format!("args{index}")),
                ..GrammarWithLexer::from_json_schema(schema)
            });
        }
        let mut whole = TopLevelGrammar::from_lark(lines.join("\n"));
        whole.grammars.extend(grammars);
        Ok(whole)
    }
}

impl CallableFunction {
    fn schema(&self) -> Result<Value, GrammarError> {
        let options = JsonOptions {
            strict: self.strict,
            ..JsonOptions::default()
        };
        let mut schema = match &self.parameters {
            None => json!({"type": "object", "additionalProperties": false}),
            Some(schema) => schema.clone(),
        };
        if let Some(map) = schema.as_object_mut() {
            // Arguments are an object even if the schema does not say so.
            map.entry("type").or_insert_with(|| "object".into());
        }
        schema::prepare(&schema, &options)
    }
}

impl Marker {
    fn lark(&self) -> String {
        match self {
            Self::Text(text) => literal(text),
            Self::Token(id) => format!("<[{id}]>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_format_of_the_model() {
        let function = |name: &str| CallableFunction {
            name: name.to_owned(),
            parameters: None,
            strict: false,
        };
        let cases = [
            (
                ToolCallFormat::Tagged,
                vec![Marker::Token(7), Marker::Text("</tool_call>")],
                true,
                "start: call (\"\\n\" call){0,7}\ncall: <[7]> \"\\n\" one \"\\n\" \"</tool_call>\"\none: f0 | f1\n\
                 f0: \"{\\\"name\\\": \\\"a\\\", \\\"arguments\\\": \" @args0 \"}\"\n\
                 f1: \"{\\\"name\\\": \\\"b\\\\\\\"\\\", \\\"arguments\\\": \" @args1 \"}\"",
            ),
            (
                ToolCallFormat::Marked("M"),
                vec![Marker::Text("M")],
                false,
                "start: \"M\" \"[\" call  \"]\"\ncall: one\none: f0 | f1\n",
            ),
            (ToolCallFormat::Bare, vec![], true, "start: one\none: f0 | f1\n"),
        ];
        for (format, markers, parallel, expected) in cases {
            let calls = ToolCallGrammar {
                format,
                markers,
                functions: vec![function("a"), function("b\"")],
                parallel,
            };
            let grammar = calls.grammar().unwrap();
            let text = grammar.grammars[0].lark_grammar.clone().unwrap();
            assert!(text.starts_with(expected), "{text}");
            assert_eq!(grammar.grammars.len(), 3);
        }
    }
}

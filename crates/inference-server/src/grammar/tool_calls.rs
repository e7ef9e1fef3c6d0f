//! Calls of functions as a grammar: in the form the model knows, with arguments by the function's schema. Pure.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

use super::Refusal;
use super::constraint::literal;
use super::schema::{self, Reading};
use crate::tool_calls::Form;

/// Most calls in one answer: a model that finds no end must not fill its context with calls.
const CALLS: usize = 8;
/// Longest schemas of all functions together, in bytes.
const BYTES: usize = 2 * schema::BYTES;

/// A function that may be called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Schema of its arguments; none takes no arguments.
    pub(crate) parameters: Option<Value>,
    /// See [`Reading::strict`].
    pub(crate) strict: bool,
}

/// A text that marks calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Text(&'static str),
    /// A special token, by its number: letters would not make it.
    Token(u32),
}

/// Calls of some functions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calls {
    pub(crate) form: Form,
    /// What stands before calls, and behind if the form closes them.
    pub(crate) marks: Vec<Mark>,
    /// At least one.
    pub(crate) functions: Vec<Function>,
    /// Whether there may be several calls.
    pub(crate) several: bool,
}

impl Calls {
    pub(super) fn grammar(&self) -> Result<TopLevelGrammar, Refusal> {
        let mark = |index: usize| self.marks.get(index).map_or_else(String::new, Mark::lark);
        let more = |separator: &str| match self.several {
            true => format!("({} call){{0,{}}}", literal(separator), CALLS - 1),
            false => String::new(),
        };
        let (start, arguments) = match self.form {
            Form::Tagged => {
                let call = format!("{} \"\\n\" one \"\\n\" {}", mark(0), mark(1));
                (format!("start: call {}\ncall: {call}", more("\n")), "arguments")
            }
            Form::Marked(_) => {
                let list = format!("\"[\" call {} \"]\"", more(", "));
                (format!("start: {} {list}\ncall: one", mark(0)), "arguments")
            }
            Form::Bare => ("start: one".to_owned(), "parameters"),
        };
        let names = (0..self.functions.len()).map(|index| format!("f{index}"));
        let mut lines = vec![start, format!("one: {}", names.collect::<Vec<_>>().join(" | "))];
        let mut grammars = Vec::new();
        let mut left = BYTES;
        for (index, function) in self.functions.iter().enumerate() {
            let head = format!(
                "{{\"name\": {}, \"{arguments}\": ",
                Value::from(function.name.as_str())
            );
            lines.push(format!("f{index}: {} @args{index} \"}}\"", literal(&head)));
            let schema = function.schema()?;
            left = left.saturating_sub(schema.to_string().len());
            if left == 0 {
                return Err(Refusal::Schemas { most: BYTES });
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

impl Function {
    fn schema(&self) -> Result<Value, Refusal> {
        let reading = Reading {
            strict: self.strict,
            ..Reading::default()
        };
        let mut schema = match &self.parameters {
            None => json!({"type": "object", "additionalProperties": false}),
            Some(schema) => schema.clone(),
        };
        if let Some(map) = schema.as_object_mut() {
            // Arguments are an object, also where a schema takes that for granted.
            map.entry("type").or_insert_with(|| "object".into());
        }
        schema::prepare(&schema, &reading)
    }
}

impl Mark {
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
    fn calls_have_the_form_of_the_model() {
        let function = |name: &str| Function {
            name: name.to_owned(),
            parameters: None,
            strict: false,
        };
        let cases = [
            (
                Form::Tagged,
                vec![Mark::Token(7), Mark::Text("</tool_call>")],
                true,
                "start: call (\"\\n\" call){0,7}\ncall: <[7]> \"\\n\" one \"\\n\" \"</tool_call>\"\none: f0 | f1\n\
                 f0: \"{\\\"name\\\": \\\"a\\\", \\\"arguments\\\": \" @args0 \"}\"\n\
                 f1: \"{\\\"name\\\": \\\"b\\\\\\\"\\\", \\\"arguments\\\": \" @args1 \"}\"",
            ),
            (
                Form::Marked("M"),
                vec![Mark::Text("M")],
                false,
                "start: \"M\" \"[\" call  \"]\"\ncall: one\none: f0 | f1\n",
            ),
            (Form::Bare, vec![], true, "start: one\none: f0 | f1\n"),
        ];
        for (form, marks, several, expected) in cases {
            let calls = Calls {
                form,
                marks,
                functions: vec![function("a"), function("b\"")],
                several,
            };
            let grammar = calls.grammar().unwrap();
            let text = grammar.grammars[0].lark_grammar.clone().unwrap();
            assert!(text.starts_with(expected), "{text}");
            assert_eq!(grammar.grammars.len(), 3);
        }
    }
}

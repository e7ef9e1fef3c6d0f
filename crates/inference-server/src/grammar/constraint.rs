//! Constraints of a completion, and their grammars. Pure.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::regex_to_lark;
use serde_json::{Value, json};

use super::error::GrammarError;
use super::gbnf::{self, literal};
use super::schema::{self, JsonOptions};
use super::tool_calls::ToolCallGrammar;

/// Maximum of a grammar or regular expression, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Maximum depth of brackets in a grammar or regular expression.
const MAX_DEPTH: usize = 64;

/// The text that a completion must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// JSON that matches a schema.
    Json(JsonConstraint),
    /// Text that a regular expression matches as a whole.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// Text of a context-free grammar, written for Lark or for llama.cpp (GBNF).
    Grammar(String),
    /// Tool calls.
    ToolCalls(ToolCallGrammar),
}

/// A schema and how to read it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsonConstraint {
    pub(crate) schema: Value,
    pub(crate) options: JsonOptions,
}

impl Constraint {
    /// All kinds: values of a metric label.
    pub(crate) const KINDS: [&'static str; 6] = [
        "json_object",
        "json_schema",
        "regex",
        "choice",
        "grammar",
        "tools",
    ];

    /// Returns the kind: the value of a metric label.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::JsonObject => "json_object",
            Self::Json(_) => "json_schema",
            Self::Regex(_) => "regex",
            Self::Choice(_) => "choice",
            Self::Grammar(_) => "grammar",
            Self::ToolCalls(_) => "tools",
        }
    }

    /// Returns the grammar for the library.
    pub(super) fn grammar(&self) -> Result<TopLevelGrammar, GrammarError> {
        match self {
            Self::JsonObject => {
                let schema = schema::prepare(&json!({"type": "object"}), &JsonOptions::default())?;
                Ok(TopLevelGrammar::from_json_schema(schema))
            }
            Self::Json(json) => {
                let schema = schema::prepare(&json.schema, &json.options)?;
                Ok(TopLevelGrammar::from_json_schema(schema))
            }
            Self::Regex(pattern) => {
                bounded(pattern)?;
                Ok(lark(format!("start: /{}/", regex_to_lark(whole(pattern), ""))))
            }
            Self::Choice(choices) => {
                let texts: Vec<String> = choices.iter().map(|choice| literal(choice)).collect();
                let text = texts.join(" | ");
                length(&text)?;
                Ok(lark(format!("start: CHOICE\nCHOICE: {text}")))
            }
            Self::Grammar(text) => {
                bounded(text)?;
                if text.contains("%json") {
                    // The bounds of `schema` would not apply to it.
                    return Err(GrammarError::Grammar(
                        "`%json` is not supported, use a schema".to_owned(),
                    ));
                }
                let text = if gbnf::is_gbnf(text) {
                    gbnf::to_lark(text)?
                } else {
                    text.clone()
                };
                Ok(lark(text))
            }
            Self::ToolCalls(calls) => calls.grammar(),
        }
    }
}

fn lark(text: String) -> TopLevelGrammar {
    TopLevelGrammar::from_grammar(GrammarWithLexer::from_lark(text))
}

/// Removes anchors: a pattern has to match the whole completion anyway.
fn whole(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let Some(inner) = pattern.strip_suffix('$') else {
        return pattern;
    };
    let escapes = inner.len() - inner.trim_end_matches('\\').len();
    if escapes % 2 == 0 { inner } else { pattern }
}

fn length(text: &str) -> Result<(), GrammarError> {
    let bytes = text.len();
    if bytes > MAX_BYTES {
        return Err(GrammarError::TooLarge {
            bytes,
            max: MAX_BYTES,
        });
    }
    Ok(())
}

/// Bounds the depth of brackets, through which the library recurses. Brackets in literals count too.
fn bounded(text: &str) -> Result<(), GrammarError> {
    length(text)?;
    let mut open = 0_usize;
    for letter in text.chars() {
        match letter {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_DEPTH {
            return Err(GrammarError::TooDeep { max: MAX_DEPTH });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_of_a_whole_pattern_are_removed() {
        let cases = [
            ("^a$", "a"),
            ("a", "a"),
            (r"a\$", r"a\$"),
            (r"a\\$", r"a\\"),
            ("$", ""),
            ("^", ""),
        ];
        for (pattern, inner) in cases {
            assert_eq!(whole(pattern), inner, "{pattern}");
        }
    }

    #[test]
    fn texts_are_bounded() {
        let long = "a".repeat(MAX_BYTES + 1);
        let deep = "(".repeat(MAX_DEPTH + 1);
        for text in [&long, &deep] {
            assert!(Constraint::Regex(text.clone()).grammar().is_err());
            assert!(Constraint::Grammar(text.clone()).grammar().is_err());
        }
        assert!(Constraint::Choice(vec![long]).grammar().is_err());
        assert!(Constraint::Choice(vec![deep]).grammar().is_ok());
    }
}

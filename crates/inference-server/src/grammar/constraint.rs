//! The forms that an answer can have, and their grammars. Pure.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::regex_to_lark;
use serde_json::{Value, json};

use super::schema::{self, Reading};
use super::tool_calls::Calls;
use super::{Refusal, gbnf};

/// Longest grammar or regular expression, in bytes.
pub(crate) const BYTES: usize = 64 << 10;
/// Most brackets that are open at once in a grammar or regular expression.
const DEPTH: usize = 64;

/// What an answer has to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constraint {
    /// Any JSON object.
    Object,
    /// JSON of a schema.
    Json(Json),
    /// A text that a regular expression fits as a whole.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A text of a context-free grammar, in Lark's form or that of llama.cpp.
    Grammar(String),
    /// Calls of functions.
    Calls(Calls),
}

/// A schema and how to read it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Json {
    pub(crate) schema: Value,
    pub(crate) reading: Reading,
}

impl Constraint {
    /// All kinds, as metrics name them.
    pub(crate) const KINDS: [&'static str; 6] = [
        "json_object",
        "json_schema",
        "regex",
        "choice",
        "grammar",
        "tools",
    ];

    /// As metrics name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Object => "json_object",
            Self::Json(_) => "json_schema",
            Self::Regex(_) => "regex",
            Self::Choice(_) => "choice",
            Self::Grammar(_) => "grammar",
            Self::Calls(_) => "tools",
        }
    }

    /// As the library takes it.
    pub(super) fn grammar(&self) -> Result<TopLevelGrammar, Refusal> {
        match self {
            Self::Object => {
                let schema = schema::prepare(&json!({"type": "object"}), &Reading::default())?;
                Ok(TopLevelGrammar::from_json_schema(schema))
            }
            Self::Json(json) => {
                let schema = schema::prepare(&json.schema, &json.reading)?;
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
                    // Its bounds are those of `schema`, which does not see it here.
                    return Err(Refusal::Grammar(
                        "`%json` is not taken: ask for JSON by a schema".to_owned(),
                    ));
                }
                let text = if gbnf::is(text) {
                    gbnf::to_lark(text)?
                } else {
                    text.clone()
                };
                Ok(lark(text))
            }
            Self::Calls(calls) => calls.grammar(),
        }
    }
}

fn lark(text: String) -> TopLevelGrammar {
    TopLevelGrammar::from_grammar(GrammarWithLexer::from_lark(text))
}

/// A text as a literal of a grammar.
pub(super) fn literal(text: &str) -> String {
    // JSON leaves this control character as it is, and the form of grammars does not.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Without anchors: a pattern has to fit all of an answer anyway.
fn whole(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let Some(inner) = pattern.strip_suffix('$') else {
        return pattern;
    };
    let escapes = inner.len() - inner.trim_end_matches('\\').len();
    if escapes % 2 == 0 { inner } else { pattern }
}

fn length(text: &str) -> Result<(), Refusal> {
    let bytes = text.len();
    if bytes > BYTES {
        return Err(Refusal::TooLarge { bytes, most: BYTES });
    }
    Ok(())
}

/// The library goes into brackets by recursion, so there must not be too many. Those in literals count too.
fn bounded(text: &str) -> Result<(), Refusal> {
    length(text)?;
    let mut open = 0_usize;
    for letter in text.chars() {
        match letter {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > DEPTH {
            return Err(Refusal::TooDeep { most: DEPTH });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_of_a_whole_pattern_say_nothing() {
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
        let long = "a".repeat(BYTES + 1);
        let deep = "(".repeat(DEPTH + 1);
        for text in [&long, &deep] {
            assert!(Constraint::Regex(text.clone()).grammar().is_err());
            assert!(Constraint::Grammar(text.clone()).grammar().is_err());
        }
        assert!(Constraint::Choice(vec![long]).grammar().is_err());
        assert!(Constraint::Choice(vec![deep]).grammar().is_ok());
    }
}

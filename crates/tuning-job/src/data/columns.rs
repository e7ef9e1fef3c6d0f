//! Which columns of a dataset are learnt, and what they say.

use serde_json::Value;

use super::{DataError, Row};
use crate::config::DatasetConfig;

/// What the columns are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A conversation: objects with `role` and `content`.
    Messages(String),
    /// A prompt and what follows it; texts or conversations.
    Pair {
        /// Column of the prompt.
        prompt: String,
        /// Column of what follows.
        completion: String,
    },
    /// An instruction, what it is about, and the answer.
    Instruction {
        /// Column of the instruction.
        instruction: String,
        /// Column of what it is about.
        input: Option<String>,
        /// Column of the answer.
        output: String,
    },
    /// A text.
    Text(String),
}

impl Shape {
    /// Finds out from the configuration and the first row. What is configured wins; else the columns' names decide.
    ///
    /// # Errors
    /// When a configured column does not exist, or no name is known.
    pub fn of(row: &Row, config: &DatasetConfig, text: &str) -> Result<Self, DataError> {
        let available = || row.keys().cloned().collect::<Vec<_>>().join(", ");
        let needed = |column: &String| {
            if row.contains_key(column) {
                return Ok(column.clone());
            }
            Err(DataError::NoColumn {
                column: column.clone(),
                available: available(),
            })
        };
        if let Some(column) = &config.messages_column {
            return Ok(Self::Messages(needed(column)?));
        }
        match (&config.context_column, &config.response_column) {
            (Some(context), Some(response)) => {
                return Ok(Self::Pair {
                    prompt: needed(context)?,
                    completion: needed(response)?,
                });
            }
            // Upstream's default for the column, which its users' files repeat, is no wish to have it.
            (None, Some(response)) if response != "text" || row.contains_key("text") => {
                return Ok(Self::Text(needed(response)?));
            }
            _ => {}
        }
        Self::by_names(row, text).ok_or_else(|| DataError::NoShape {
            text: text.to_owned(),
            available: available(),
        })
    }

    fn by_names(row: &Row, text: &str) -> Option<Self> {
        let first = |names: &[&str]| {
            names
                .iter()
                .find(|name| row.contains_key(**name))
                .map(|name| (*name).to_owned())
        };
        if let Some(column) = first(&["messages"]) {
            return Some(Self::Messages(column));
        }
        if let (Some(prompt), Some(completion)) = (first(&["prompt"]), first(&["completion"])) {
            return Some(Self::Pair { prompt, completion });
        }
        if let (Some(instruction), Some(output)) = (first(&["instruction"]), first(&["output", "response"])) {
            let input = first(&["input", "context"]);
            return Some(Self::Instruction {
                instruction,
                input,
                output,
            });
        }
        first(&[text]).map(Self::Text)
    }
}

/// A column's text.
pub(super) fn text<'a>(row: &'a Row, column: &str) -> Result<&'a str, String> {
    match row.get(column) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err("is no text".to_owned()),
        None => Err("is missing".to_owned()),
    }
}

/// A column's conversation.
pub(super) fn messages(row: &Row, column: &str) -> Result<Vec<Value>, String> {
    let Some(Value::Array(messages)) = row.get(column) else {
        return Err("is no list of messages".to_owned());
    };
    let is_message = |message: &Value| {
        message.get("role").is_some_and(Value::is_string) && message.get("content").is_some()
    };
    match messages.iter().position(|message| !is_message(message)) {
        Some(at) => Err(format!("has no `role` or no `content` in message {}", at + 1)),
        None if messages.is_empty() => Err("is an empty conversation".to_owned()),
        // Formats with a schema give every message every field; one that is not there must not look as if it were.
        None => Ok(messages.iter().map(without_nulls).collect()),
    }
}

fn without_nulls(message: &Value) -> Value {
    match message {
        Value::Object(fields) => {
            let kept = fields
                .iter()
                .filter(|(name, value)| *name == "content" || !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(columns: &[&str], config: &DatasetConfig) -> Result<Shape, DataError> {
        let row: Row = columns
            .iter()
            .map(|name| ((*name).to_owned(), json!("x")))
            .collect();
        Shape::of(&row, config, "text")
    }

    #[test]
    fn names_decide_unless_columns_are_configured() {
        let plain = DatasetConfig::default();
        let text = |column: &str| Shape::Text(column.to_owned());
        assert_eq!(shape(&["text", "id"], &plain).unwrap(), text("text"));
        assert_eq!(
            shape(&["text", "messages"], &plain).unwrap(),
            Shape::Messages("messages".to_owned())
        );
        let dolly = shape(&["instruction", "context", "response", "category"], &plain).unwrap();
        assert!(matches!(dolly, Shape::Instruction { input: Some(input), .. } if input == "context"));
        let response = |column: &str| DatasetConfig {
            response_column: Some(column.to_owned()),
            ..plain.clone()
        };
        assert_eq!(shape(&["text", "body"], &response("body")).unwrap(), text("body"));
        assert!(matches!(
            shape(&["prompt", "completion"], &response("text")).unwrap(),
            Shape::Pair { .. }
        ));
        let pair = DatasetConfig {
            context_column: Some("q".to_owned()),
            ..response("a")
        };
        assert!(matches!(
            shape(&["q", "a", "messages"], &pair).unwrap(),
            Shape::Pair { .. }
        ));
    }

    #[test]
    fn a_missing_column_is_named_with_those_that_are_there() {
        let config = DatasetConfig {
            messages_column: Some("talk".to_owned()),
            ..DatasetConfig::default()
        };
        let error = shape(&["a", "b"], &config).unwrap_err().to_string();
        assert_eq!(
            error,
            "Column 'talk' does not exist in the dataset. Available columns: [a, b]"
        );
        assert!(
            shape(&["a"], &DatasetConfig::default())
                .unwrap_err()
                .to_string()
                .contains("Available columns: [a]")
        );
    }
}

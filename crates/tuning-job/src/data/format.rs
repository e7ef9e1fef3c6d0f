//! Columns of a dataset and their meaning.

use serde_json::Value;

use super::error::DataError;
use super::rows::Row;
use crate::config::DatasetConfig;

/// Meaning of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetFormat {
    /// A conversation: objects with `role` and `content`.
    Messages(String),
    /// A prompt and its completion; texts or conversations.
    Pair {
        /// Column of the prompt.
        prompt: String,
        /// Column of the completion.
        completion: String,
    },
    /// An instruction, its input and the response.
    Instruction {
        /// Column of the instruction.
        instruction: String,
        /// Column of the input.
        input: Option<String>,
        /// Column of the response.
        output: String,
    },
    /// A text.
    Text(String),
}

impl DatasetFormat {
    /// Determines the format from the configuration, else from the column names of the first row.
    ///
    /// # Errors
    /// When a configured column does not exist, or no column has a known name.
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
            // `text` is upstream's default and occurs in its users' files; it does not require that column.
            (None, Some(response)) if response != "text" || row.contains_key("text") => {
                return Ok(Self::Text(needed(response)?));
            }
            _ => {}
        }
        Self::by_names(row, text).ok_or_else(|| DataError::UnknownFormat {
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

/// Returns the text of a column.
pub(super) fn text<'a>(row: &'a Row, column: &str) -> Result<&'a str, String> {
    match row.get(column) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err("must be a text".to_owned()),
        None => Err("is missing".to_owned()),
    }
}

/// Returns the conversation of a column.
pub(super) fn messages(row: &Row, column: &str) -> Result<Vec<Value>, String> {
    let Some(Value::Array(messages)) = row.get(column) else {
        return Err("must be a list of messages".to_owned());
    };
    let is_message = |message: &Value| {
        message.get("role").is_some_and(Value::is_string) && message.get("content").is_some()
    };
    match messages.iter().position(|message| !is_message(message)) {
        Some(at) => Err(format!("has no `role` or no `content` in message {}", at + 1)),
        None if messages.is_empty() => Err("is an empty conversation".to_owned()),
        // Formats with a schema give every message every field. Absent fields must not look present.
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

    fn format(columns: &[&str], config: &DatasetConfig) -> Result<DatasetFormat, DataError> {
        let row: Row = columns
            .iter()
            .map(|name| ((*name).to_owned(), json!("x")))
            .collect();
        DatasetFormat::of(&row, config, "text")
    }

    #[test]
    fn names_decide_unless_columns_are_configured() {
        let plain = DatasetConfig::default();
        let text = |column: &str| DatasetFormat::Text(column.to_owned());
        assert_eq!(format(&["text", "id"], &plain).unwrap(), text("text"));
        assert_eq!(
            format(&["text", "messages"], &plain).unwrap(),
            DatasetFormat::Messages("messages".to_owned())
        );
        let dolly = format(&["instruction", "context", "response", "category"], &plain).unwrap();
        assert!(matches!(dolly, DatasetFormat::Instruction { input: Some(input), .. } if input == "context"));
        let response = |column: &str| DatasetConfig {
            response_column: Some(column.to_owned()),
            ..plain.clone()
        };
        assert_eq!(
            format(&["text", "body"], &response("body")).unwrap(),
            text("body")
        );
        assert!(matches!(
            format(&["prompt", "completion"], &response("text")).unwrap(),
            DatasetFormat::Pair { .. }
        ));
        let pair = DatasetConfig {
            context_column: Some("q".to_owned()),
            ..response("a")
        };
        assert!(matches!(
            format(&["q", "a", "messages"], &pair).unwrap(),
            DatasetFormat::Pair { .. }
        ));
    }

    #[test]
    fn a_missing_column_is_named_with_those_that_are_there() {
        let config = DatasetConfig {
            messages_column: Some("talk".to_owned()),
            ..DatasetConfig::default()
        };
        let error = format(&["a", "b"], &config).unwrap_err().to_string();
        assert_eq!(
            error,
            "Column 'talk' does not exist in the dataset. Available columns: [a, b]"
        );
        assert!(
            format(&["a"], &DatasetConfig::default())
                .unwrap_err()
                .to_string()
                .contains("Available columns: [a]")
        );
    }
}

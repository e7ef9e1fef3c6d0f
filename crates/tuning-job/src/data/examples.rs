//! Encoding of rows as tokens, and the tokens that count in the loss.
//!
//! As in TRL, conversations go through the chat template, and texts and completions end with the end-of-sequence token.

use model::chat::Conversation;
use model::{ChatTemplate, Tokenizer};
use serde_json::{Map, Value, json};

use super::error::DataError;
use super::files::DataFile;
use super::format::{DatasetFormat, messages, text};
use super::rows::{self, Row};
use crate::config::{DatasetConfig, TrainingArguments};

/// Most tokens of a dataset: four GiB.
const TOKENS: usize = 1 << 30;

/// A sequence to train on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// Ranges of tokens that count in the loss; all tokens when empty.
    pub loss_ranges: Vec<std::ops::Range<usize>>,
}

impl Example {
    /// Reports whether the token at `at` counts in the loss.
    #[must_use]
    pub fn has_loss(&self, at: usize) -> bool {
        self.loss_ranges.is_empty() || self.loss_ranges.iter().any(|range| range.contains(&at))
    }
}

/// Encoder of rows.
#[derive(Debug)]
pub(crate) struct ExampleEncoder<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The model's chat template, if it has one.
    pub chat_template: Option<&'a ChatTemplate>,
    /// The end-of-sequence token.
    pub eos_token_id: u32,
}

/// All sequences of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Examples {
    /// The sequences, in the order of the files.
    pub examples: Vec<Example>,
    /// Number of truncated sequences.
    pub truncated: usize,
    /// Number of rows without tokens to train on, which were left out.
    pub empty: usize,
    tokens: usize,
}

impl Examples {
    /// Reads and encodes files.
    ///
    /// # Errors
    /// When a file cannot be read, a row has an unexpected value, or no example is left.
    pub(crate) fn read(
        files: &[DataFile],
        encoder: &ExampleEncoder<'_>,
        dataset: &DatasetConfig,
        training: &TrainingArguments,
    ) -> Result<Self, DataError> {
        let mut all = Self::default();
        for file in files {
            let mut format = None;
            rows::read(file, &mut |number, row| {
                let format = match &mut format {
                    Some(format) => format,
                    none => none.insert(DatasetFormat::of(&row, dataset, &training.dataset_text_field)?),
                };
                let wrong = |(column, problem): (String, String)| DataError::Row {
                    path: file.path.clone(),
                    row: number,
                    column,
                    problem,
                };
                let example = encoder.encode_row(&row, format, training).map_err(wrong)?;
                all.push(example, training.max_length)
            })?;
        }
        if all.examples.is_empty() {
            return Err(DataError::Nothing(format!(
                "{} rows, none with two tokens or more to learn",
                all.empty
            )));
        }
        Ok(all)
    }

    fn push(&mut self, mut example: Example, longest: Option<usize>) -> Result<(), DataError> {
        if let Some(longest) = longest.filter(|longest| example.tokens.len() > *longest) {
            example.tokens.truncate(longest);
            self.truncated += 1;
        }
        if !(1..example.tokens.len()).any(|at| example.has_loss(at)) {
            self.empty += 1;
            return Ok(());
        }
        self.tokens += example.tokens.len();
        if self.tokens > TOKENS {
            return Err(DataError::TooLarge { limit: TOKENS });
        }
        example.tokens.shrink_to_fit();
        self.examples.push(example);
        Ok(())
    }

    /// Number of tokens of all examples.
    #[must_use]
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }
}

/// A column and its problem.
type Wrong = (String, String);

impl ExampleEncoder<'_> {
    fn encode_row(
        &self,
        row: &Row,
        format: &DatasetFormat,
        training: &TrainingArguments,
    ) -> Result<Example, Wrong> {
        match format {
            DatasetFormat::Text(column) => {
                let text = text(row, column).map_err(|problem| (column.clone(), problem))?;
                let mut tokens = self.encode(text, true, column)?;
                self.end(&mut tokens);
                Ok(Example {
                    tokens,
                    loss_ranges: Vec::new(),
                })
            }
            DatasetFormat::Messages(column) => {
                let messages = messages(row, column).map_err(|problem| (column.clone(), problem))?;
                self.conversation(&messages, column, training.assistant_only_loss)
            }
            DatasetFormat::Pair { prompt, completion } => self.pair(row, prompt, completion, training),
            DatasetFormat::Instruction {
                instruction,
                input,
                output,
            } => {
                let get = |column: &String| text(row, column).map_err(|problem| (column.clone(), problem));
                let input = input
                    .as_ref()
                    .and_then(|column| text(row, column).ok())
                    .filter(|text| !text.trim().is_empty());
                let prompt = match input {
                    Some(input) => format!("{}\n\n{input}", get(instruction)?),
                    None => get(instruction)?.to_owned(),
                };
                let response = get(output)?;
                if self.chat_template.is_none() {
                    return self.plain_pair(
                        &format!("{prompt}\n\n"),
                        response,
                        output,
                        training.completion_only_loss,
                    );
                }
                let messages = vec![
                    json!({"role": "user", "content": prompt}),
                    json!({"role": "assistant", "content": response}),
                ];
                self.conversation(
                    &messages,
                    output,
                    training.assistant_only_loss || training.completion_only_loss,
                )
            }
        }
    }

    fn pair(
        &self,
        row: &Row,
        prompt: &str,
        completion: &str,
        training: &TrainingArguments,
    ) -> Result<Example, Wrong> {
        let is_conversation = row.get(prompt).is_some_and(Value::is_array);
        let completion_only = training.completion_only_loss;
        if !is_conversation {
            let get = |column: &str| text(row, column).map_err(|problem| (column.to_owned(), problem));
            return self.plain_pair(get(prompt)?, get(completion)?, completion, completion_only);
        }
        let get = |column: &str| messages(row, column).map_err(|problem| (column.to_owned(), problem));
        let (prompt_messages, mut all) = (get(prompt)?, get(prompt)?);
        all.extend(get(completion)?);
        let before = self.encode(&self.render(prompt_messages, true, prompt)?, false, prompt)?;
        let tokens = self.encode(&self.render(all, false, completion)?, false, completion)?;
        let loss_ranges = if completion_only {
            std::iter::once(before.len().min(tokens.len())..tokens.len()).collect()
        } else {
            Vec::new()
        };
        Ok(Example { tokens, loss_ranges })
    }

    fn plain_pair(
        &self,
        prompt: &str,
        completion: &str,
        column: &str,
        completion_only: bool,
    ) -> Result<Example, Wrong> {
        let before = self.encode(prompt, true, column)?.len();
        let mut tokens = self.encode(&format!("{prompt}{completion}"), true, column)?;
        self.end(&mut tokens);
        let loss_ranges = if completion_only {
            std::iter::once(before.min(tokens.len())..tokens.len()).collect()
        } else {
            Vec::new()
        };
        Ok(Example { tokens, loss_ranges })
    }

    /// Encodes a conversation. With `assistant_only` the messages of the assistant count in the loss, and the tokens that end them.
    fn conversation(&self, messages: &[Value], column: &str, assistant_only: bool) -> Result<Example, Wrong> {
        let whole = self.render(messages.to_vec(), false, column)?;
        let tokens = self.encode(&whole, false, column)?;
        let mut loss_ranges = Vec::new();
        if assistant_only {
            for (at, message) in messages.iter().enumerate() {
                if message.get("role").and_then(Value::as_str) != Some("assistant") {
                    continue;
                }
                let before = self.render(messages[..at].to_vec(), true, column)?;
                let after = self.render(messages[..=at].to_vec(), false, column)?;
                if !(whole.starts_with(&after) && after.starts_with(&before)) {
                    let problem = "cannot be trained on in part: the chat template renders a message differently when others follow it";
                    return Err((column.to_owned(), problem.to_owned()));
                }
                let from = self.encode(&before, false, column)?.len();
                loss_ranges.push(from..self.encode(&after, false, column)?.len());
            }
            if loss_ranges.is_empty() {
                loss_ranges.push(0..0);
            }
        }
        Ok(Example { tokens, loss_ranges })
    }

    fn render(
        &self,
        messages: Vec<Value>,
        add_generation_prompt: bool,
        column: &str,
    ) -> Result<String, Wrong> {
        let wrong = |problem: String| (column.to_owned(), problem);
        let template = self.chat_template.ok_or_else(|| {
            wrong("holds a conversation, and the model has no chat template; give one as ModelConfig.chat_template".to_owned())
        })?;
        let conversation = Conversation {
            messages,
            tools: None,
            add_generation_prompt,
            chat_template_kwargs: Map::new(),
        };
        template
            .render(&conversation)
            .map_err(|error| wrong(format!("cannot be used: {error}")))
    }

    fn encode(&self, text: &str, special: bool, column: &str) -> Result<Vec<u32>, Wrong> {
        self.tokenizer
            .encode(text, special)
            .map_err(|error| (column.to_owned(), format!("cannot be used: {error}")))
    }

    fn end(&self, tokens: &mut Vec<u32>) {
        if tokens.last() != Some(&self.eos_token_id) {
            tokens.push(self.eos_token_id);
        }
    }
}

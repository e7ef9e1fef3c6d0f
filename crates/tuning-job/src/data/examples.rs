//! Rows → tokens, and which of them are learnt.
//!
//! As TRL does: conversations go through the chat template; texts and completions end with the token that ends a text.

use model::chat::Conversation;
use model::{ChatTemplate, Tokenizer};
use serde_json::{Map, Value, json};

use super::columns::{Shape, messages, text};
use super::{DataError, DataFile, Row, rows};
use crate::config::{DatasetConfig, TrainingArguments};

/// Most tokens of a dataset: four GiB.
const TOKENS: usize = 1 << 30;

/// A sequence to learn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Ranges of tokens that are learnt; all when empty.
    pub learnt: Vec<std::ops::Range<usize>>,
}

impl Example {
    /// Whether the token at `at` is to be foretold.
    #[must_use]
    pub fn is_learnt(&self, at: usize) -> bool {
        self.learnt.is_empty() || self.learnt.iter().any(|range| range.contains(&at))
    }
}

/// What turns texts into tokens.
#[derive(Debug)]
pub struct Texts<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Its chat template, if it has one.
    pub template: Option<&'a ChatTemplate>,
    /// The token that ends a text.
    pub end: u32,
}

/// All sequences of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examples {
    /// They, in the order of the files.
    pub examples: Vec<Example>,
    /// How many were cut.
    pub cut: usize,
    /// How many rows had nothing to learn and were left out.
    pub empty: usize,
    tokens: usize,
}

impl Examples {
    /// Reads files.
    ///
    /// # Errors
    /// When a file cannot be read, a row lacks what its columns should have, or nothing is left.
    pub fn read(
        files: &[DataFile],
        texts: &Texts<'_>,
        dataset: &DatasetConfig,
        training: &TrainingArguments,
    ) -> Result<Self, DataError> {
        let mut all = Self::default();
        for file in files {
            let mut shape = None;
            rows::read(file, &mut |number, row| {
                let shape = match &mut shape {
                    Some(shape) => shape,
                    none => none.insert(Shape::of(&row, dataset, &training.dataset_text_field)?),
                };
                let wrong = |(column, problem): (String, String)| DataError::Row {
                    path: file.path.clone(),
                    row: number,
                    column,
                    problem,
                };
                let example = texts.example(&row, shape, training).map_err(wrong)?;
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
            self.cut += 1;
        }
        if !(1..example.tokens.len()).any(|at| example.is_learnt(at)) {
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

    /// Tokens of all examples.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

/// A column and what is wrong with it.
type Wrong = (String, String);

impl Texts<'_> {
    fn example(&self, row: &Row, shape: &Shape, training: &TrainingArguments) -> Result<Example, Wrong> {
        match shape {
            Shape::Text(column) => {
                let text = text(row, column).map_err(|problem| (column.clone(), problem))?;
                let mut tokens = self.encode(text, true, column)?;
                self.close(&mut tokens);
                Ok(Example {
                    tokens,
                    learnt: Vec::new(),
                })
            }
            Shape::Messages(column) => {
                let messages = messages(row, column).map_err(|problem| (column.clone(), problem))?;
                self.conversation(&messages, column, training.assistant_only_loss)
            }
            Shape::Pair { prompt, completion } => self.pair(row, prompt, completion, training),
            Shape::Instruction {
                instruction,
                input,
                output,
            } => {
                let get = |column: &String| text(row, column).map_err(|problem| (column.clone(), problem));
                let about = input
                    .as_ref()
                    .and_then(|column| text(row, column).ok())
                    .filter(|text| !text.trim().is_empty());
                let asked = match about {
                    Some(about) => format!("{}\n\n{about}", get(instruction)?),
                    None => get(instruction)?.to_owned(),
                };
                let answer = get(output)?;
                if self.template.is_none() {
                    return self.plain_pair(
                        &format!("{asked}\n\n"),
                        answer,
                        output,
                        training.completion_only_loss,
                    );
                }
                let messages = vec![
                    json!({"role": "user", "content": asked}),
                    json!({"role": "assistant", "content": answer}),
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
        let only = training.completion_only_loss;
        if !is_conversation {
            let get = |column: &str| text(row, column).map_err(|problem| (column.to_owned(), problem));
            return self.plain_pair(get(prompt)?, get(completion)?, completion, only);
        }
        let get = |column: &str| messages(row, column).map_err(|problem| (column.to_owned(), problem));
        let (asked, mut all) = (get(prompt)?, get(prompt)?);
        all.extend(get(completion)?);
        let before = self.encode(&self.render(asked, true, prompt)?, false, prompt)?;
        let tokens = self.encode(&self.render(all, false, completion)?, false, completion)?;
        let learnt = if only {
            std::iter::once(before.len().min(tokens.len())..tokens.len()).collect()
        } else {
            Vec::new()
        };
        Ok(Example { tokens, learnt })
    }

    fn plain_pair(&self, prompt: &str, completion: &str, column: &str, only: bool) -> Result<Example, Wrong> {
        let before = self.encode(prompt, true, column)?.len();
        let mut tokens = self.encode(&format!("{prompt}{completion}"), true, column)?;
        self.close(&mut tokens);
        let learnt = if only {
            std::iter::once(before.min(tokens.len())..tokens.len()).collect()
        } else {
            Vec::new()
        };
        Ok(Example { tokens, learnt })
    }

    /// A conversation; if `only` then what the assistant says is learnt, and the token that ends it.
    fn conversation(&self, messages: &[Value], column: &str, only: bool) -> Result<Example, Wrong> {
        let whole = self.render(messages.to_vec(), false, column)?;
        let tokens = self.encode(&whole, false, column)?;
        let mut learnt = Vec::new();
        if only {
            for (at, message) in messages.iter().enumerate() {
                if message.get("role").and_then(Value::as_str) != Some("assistant") {
                    continue;
                }
                let before = self.render(messages[..at].to_vec(), true, column)?;
                let after = self.render(messages[..=at].to_vec(), false, column)?;
                if !(whole.starts_with(&after) && after.starts_with(&before)) {
                    let problem = "cannot be learnt in part: the chat template writes a message otherwise when others follow it";
                    return Err((column.to_owned(), problem.to_owned()));
                }
                let from = self.encode(&before, false, column)?.len();
                learnt.push(from..self.encode(&after, false, column)?.len());
            }
            if learnt.is_empty() {
                learnt.push(0..0);
            }
        }
        Ok(Example { tokens, learnt })
    }

    fn render(&self, messages: Vec<Value>, begin_answer: bool, column: &str) -> Result<String, Wrong> {
        let wrong = |problem: String| (column.to_owned(), problem);
        let template = self.template.ok_or_else(|| {
            wrong("holds a conversation, and the model has no chat template; give one as ModelConfig.chat_template".to_owned())
        })?;
        let conversation = Conversation {
            messages,
            tools: None,
            add_generation_prompt: begin_answer,
            arguments: Map::new(),
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

    fn close(&self, tokens: &mut Vec<u32>) {
        if tokens.last() != Some(&self.end) {
            tokens.push(self.end);
        }
    }
}

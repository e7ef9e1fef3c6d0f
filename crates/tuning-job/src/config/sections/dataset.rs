//! `DataCollator` and `DatasetConfig`: the source of examples.

use serde::Deserialize;

use super::scalar;

/// Collation of batches. Upstream's keys have no effect: these models predict next tokens, and batches are not padded.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct DataCollator {}

/// Source of examples.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DatasetConfig {
    /// A file or directory below the data's directory. Default: the whole directory.
    pub dataset_path: Option<String>,
    /// `parquet`, `jsonl`, `json` or `csv`. Default: the format in the file's name.
    pub dataset_extension: Option<String>,
    /// Shuffle examples before the split, and in each epoch. Default true.
    #[serde(deserialize_with = "scalar::flag")]
    pub shuffle_dataset: bool,
    /// Seed of that order. Default 42.
    #[serde(deserialize_with = "scalar::whole64")]
    pub shuffle_seed: u64,
    /// The column with prompts, beside `response_column`. Default none.
    pub context_column: Option<String>,
    /// The column with completions, or, without `context_column`, with texts. Default none; upstream's is `text`.
    pub response_column: Option<String>,
    /// The column with conversations. Default none.
    pub messages_column: Option<String>,
    /// Share of examples to train on. Default 0.8.
    #[serde(deserialize_with = "scalar::number")]
    pub train_test_split: f64,
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self {
            dataset_path: None,
            dataset_extension: None,
            shuffle_dataset: true,
            shuffle_seed: 42,
            context_column: None,
            response_column: None,
            messages_column: None,
            train_test_split: 0.8,
        }
    }
}

impl DatasetConfig {
    pub(crate) fn check(&self, problems: &mut Vec<String>) {
        let path = "training_config.DatasetConfig";
        if !(self.train_test_split > 0.0 && self.train_test_split <= 1.0) {
            problems.push(format!(
                "{path}.train_test_split: Train/Test split needs to be between 0 and 1"
            ));
        }
        let extension = self
            .dataset_extension
            .as_deref()
            .map(|text| text.trim_start_matches('.'));
        if extension.is_some_and(|text| !["parquet", "jsonl", "json", "csv"].contains(&text)) {
            problems.push(format!(
                "{path}.dataset_extension: must be parquet, jsonl, json or csv"
            ));
        }
        if self
            .dataset_path
            .as_deref()
            .is_some_and(|path| path.split('/').any(|part| part == ".."))
        {
            problems.push(format!(
                "{path}.dataset_path: must stay below the directory of the data"
            ));
        }
        if self.context_column.is_some() && self.response_column.is_none() {
            problems.push(format!("{path}.context_column: must come with a response_column"));
        }
    }
}

//! `training_config.yaml`: what a user may say, what holds when he doesn't, and what cannot be done.
//!
//! Pure: text in, [`Config`] or a list of all problems out. Every key of the sections is either honoured, known to have no effect
//! here (and named in a log line), or refused with its path. Defaults are those of PEFT and of TRL's `SFTConfig`.

mod known;
mod sections;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use sections::{
    DataCollator, DatasetConfig, Layers, LoraConfig, ModelConfig, QuantizationConfig, Schedule, Targets,
    TrainingArguments, WhenToSave,
};

/// Largest file, in bytes: a ConfigMap holds one MiB.
pub const BYTES: u64 = 1 << 20;

/// The file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Where the model is and how it is kept.
    pub model: ModelConfig,
    /// Whether its weights are quantised.
    pub quantization: QuantizationConfig,
    /// What is trained.
    pub lora: LoraConfig,
    /// How it is trained.
    pub training: TrainingArguments,
    /// How examples become batches.
    pub collator: DataCollator,
    /// Where examples come from.
    pub dataset: DatasetConfig,
    /// Paths of keys that were given and change nothing.
    pub ignored: Vec<String>,
}

/// What is wrong with a file: all of it.
#[derive(Debug, thiserror::Error)]
#[error("training_config.yaml cannot be used:\n  {}", problems.join("\n  "))]
pub struct Invalid {
    /// One line for each problem, with the path of the key.
    pub problems: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    training_config: Option<BTreeMap<String, Value>>,
}

impl Config {
    /// Reads a file's text.
    ///
    /// # Errors
    /// When it is no YAML, or a key is unknown, of a wrong type, out of bounds or asks for what cannot be done.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let one = |problem: String| Invalid {
            problems: vec![problem],
        };
        let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| one(error.to_string()))?;
        let sections = file.and_then(|file| file.training_config);
        let mut sections = sections.ok_or_else(|| one("the key training_config is missing".to_owned()))?;
        let mut reader = Reader::default();
        let config = Self {
            model: reader.section(&mut sections, "ModelConfig"),
            quantization: reader.section(&mut sections, "QuantizationConfig"),
            lora: reader.section(&mut sections, "LoraConfig"),
            training: reader.section(&mut sections, "TrainingArguments"),
            collator: reader.section(&mut sections, "DataCollator"),
            dataset: reader.section(&mut sections, "DatasetConfig"),
            ignored: Vec::new(),
        };
        for name in sections.keys() {
            let known = known::SECTIONS.join(", ");
            reader.problems.push(format!(
                "training_config.{name} is no section; the sections are {known}"
            ));
        }
        if reader.problems.is_empty() {
            config.check(&mut reader.problems);
        }
        if reader.problems.is_empty() {
            let ignored = reader.ignored;
            Ok(Self { ignored, ..config })
        } else {
            Err(Invalid {
                problems: reader.problems,
            })
        }
    }

    /// What each section cannot know of by itself.
    fn check(&self, problems: &mut Vec<String>) {
        self.model.check(problems);
        self.quantization.check(problems);
        self.lora.check(problems);
        self.training.check(problems);
        self.dataset.check(problems);
    }
}

/// Sections as they are read, and what was wrong with them.
#[derive(Debug, Default)]
struct Reader {
    problems: Vec<String>,
    ignored: Vec<String>,
}

impl Reader {
    /// Takes a section out of the file; its default stands for an absent or a wrong one.
    fn section<T: DeserializeOwned + Default>(
        &mut self,
        sections: &mut BTreeMap<String, Value>,
        name: &str,
    ) -> T {
        let mut map = match sections.remove(name) {
            None | Some(Value::Null) => return T::default(),
            Some(Value::Object(map)) => map,
            Some(_) => {
                self.problems
                    .push(format!("training_config.{name} is no map of keys"));
                return T::default();
            }
        };
        self.drop_ignored(name, &mut map);
        // A key without a value is one that is not there.
        map.retain(|_, value| !value.is_null());
        // One key at a time, so that every problem is found and has its path.
        let mut sound = Map::new();
        for (key, value) in map {
            let alone: Map<String, Value> = [(key.clone(), value.clone())].into_iter().collect();
            match serde_json::from_value::<T>(alone.into()) {
                Ok(_) => drop(sound.insert(key, value)),
                Err(error) => self
                    .problems
                    .push(format!("training_config.{name}.{key}: {error}")),
            }
        }
        serde_json::from_value(sound.into()).unwrap_or_default()
    }

    fn drop_ignored(&mut self, section: &str, map: &mut Map<String, Value>) {
        let ignored = known::ignored(section);
        let found: Vec<String> = map
            .keys()
            .filter(|key| ignored.contains(&key.as_str()))
            .cloned()
            .collect();
        for key in found {
            map.remove(&key);
            self.ignored.push(format!("{section}.{key}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_operators_own_templates_are_understood() {
        let text = "training_config:\n  ModelConfig:\n    torch_dtype: bfloat16\n    local_files_only: true\n    device_map: auto\n  QuantizationConfig:\n    load_in_4bit: true\n    bnb_4bit_quant_type: nf4\n    bnb_4bit_compute_dtype: bfloat16\n    bnb_4bit_use_double_quant: true\n  LoraConfig:\n    r: 8\n    lora_alpha: 8\n    lora_dropout: 0.0\n  TrainingArguments:\n    output_dir: /mnt/results\n    ddp_find_unused_parameters: false\n    save_strategy: \"no\"\n    per_device_train_batch_size: 1\n  DataCollator:\n    mlm: true\n  DatasetConfig:\n    shuffle_dataset: true\n    train_test_split: 1\n";
        let config = Config::parse(text).unwrap();
        assert!(config.quantization.load_in_4bit && config.quantization.bnb_4bit_use_double_quant);
        assert_eq!(config.training.save_strategy, WhenToSave::No);
        assert_eq!(config.training.per_device_train_batch_size, 1);
        assert!(
            config
                .ignored
                .contains(&"TrainingArguments.ddp_find_unused_parameters".to_owned())
        );
        assert!((config.dataset.train_test_split - 1.0).abs() < 1e-9);
    }

    #[test]
    fn defaults_stand_for_what_is_not_said() {
        let config = Config::parse("training_config:\n  TrainingArguments:\n").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(
            (
                config.lora.r,
                config.dataset.shuffle_seed,
                config.training.max_length
            ),
            (8, 42, Some(1024))
        );
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let found = problems(
            "training_config:\n  LoraConfig:\n    rank: 8\n    r: many\n  TrainingArguments:\n    learning_rate: -1\n  Other: {}\n",
        );
        for part in [
            "LoraConfig.rank: unknown field `rank`",
            "LoraConfig.r: ",
            "training_config.Other is no section",
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
        assert!(
            problems("training_config:\n  TrainingArguments:\n    learning_rate: -1\n")
                .contains("TrainingArguments.learning_rate")
        );
        assert!(problems("other: 1\n").contains("other"));
        assert!(problems("training_config: [1]").contains("training_config"));
        assert!(problems("training_config:\n  LoraConfig: 3\n").contains("LoraConfig is no map"));
    }

    #[test]
    fn numbers_may_be_written_as_text() {
        let config = Config::parse(
            "training_config:\n  TrainingArguments:\n    learning_rate: \"2e-4\"\n    max_steps: \"10\"\n",
        )
        .unwrap();
        assert!((config.training.learning_rate - 2e-4).abs() < 1e-12);
        assert_eq!(config.training.max_steps, Some(10));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (section, key, part) in [
            ("QuantizationConfig", "load_in_8bit: true", "load_in_8bit"),
            ("LoraConfig", "use_dora: true", "use_dora"),
            ("LoraConfig", "bias: all", "bias"),
            ("LoraConfig", "lora_dropout: 1.0", "lora_dropout"),
            ("LoraConfig", "target_modules: \".*attn.*\"", "target_modules"),
            ("TrainingArguments", "optim: adafactor", "optim"),
            ("TrainingArguments", "deepspeed: x.json", "deepspeed"),
            (
                "TrainingArguments",
                "lr_scheduler_type: bumpy",
                "lr_scheduler_type",
            ),
            ("DatasetConfig", "train_test_split: 1.5", "train_test_split"),
            ("DatasetConfig", "dataset_path: ../../etc/passwd", "dataset_path"),
        ] {
            let found = problems(&format!("training_config:\n  {section}:\n    {key}\n"));
            assert!(
                found.contains(&format!("training_config.{section}.{part}")),
                "{found}"
            );
        }
    }
}

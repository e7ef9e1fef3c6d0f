//! `training_config.yaml`: its keys, defaults and bounds.
//!
//! Pure: text in, [`Config`] or a list of all problems out. A key of a section has an effect, or is known to have none here (and is
//! logged), or is refused with its path. Defaults are those of PEFT and of TRL's `SFTConfig`.

mod known;
mod sections;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use sections::{
    DataCollator, DatasetConfig, IntervalStrategy, LayersToTransform, LoraConfig, ModelConfig,
    QuantizationConfig, SchedulerType, TargetModules, TrainingArguments,
};

/// Largest file, in bytes: a ConfigMap holds one MiB.
pub const BYTES: u64 = 1 << 20;

/// Content of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Path and precision of the model.
    pub model: ModelConfig,
    /// Quantization of its weights.
    pub quantization: QuantizationConfig,
    /// The LoRA matrices.
    pub lora: LoraConfig,
    /// Arguments of training.
    pub training: TrainingArguments,
    /// Collation of batches.
    pub collator: DataCollator,
    /// The dataset.
    pub dataset: DatasetConfig,
    /// Paths of given keys without an effect.
    pub ignored: Vec<String>,
}

/// All problems of a file.
#[derive(Debug, thiserror::Error)]
#[error("training_config.yaml is invalid:\n  {}", problems.join("\n  "))]
pub struct InvalidConfig {
    /// One line for each problem, with the path of the key.
    pub problems: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    training_config: Option<BTreeMap<String, Value>>,
}

impl Config {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// When the text is not YAML, or a key is unknown, has a wrong type, is out of bounds or has an unsupported value.
    pub fn parse(text: &str) -> Result<Self, InvalidConfig> {
        let one = |problem: String| InvalidConfig {
            problems: vec![problem],
        };
        let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| one(error.to_string()))?;
        let sections = file.and_then(|file| file.training_config);
        let mut sections = sections.ok_or_else(|| one("the key training_config is missing".to_owned()))?;
        let mut reader = ConfigReader::default();
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
                "unknown section training_config.{name}; the sections are {known}"
            ));
        }
        if reader.problems.is_empty() {
            config.check(&mut reader.problems);
        }
        if reader.problems.is_empty() {
            let ignored = reader.ignored;
            Ok(Self { ignored, ..config })
        } else {
            Err(InvalidConfig {
                problems: reader.problems,
            })
        }
    }

    /// Checks the bounds of all sections.
    fn check(&self, problems: &mut Vec<String>) {
        self.model.check(problems);
        self.quantization.check(problems);
        self.lora.check(problems);
        self.training.check(problems);
        self.dataset.check(problems);
    }
}

/// Reader of sections and collector of problems.
#[derive(Debug, Default)]
struct ConfigReader {
    problems: Vec<String>,
    ignored: Vec<String>,
}

impl ConfigReader {
    /// Takes a section out of the file. An absent or malformed section is its default.
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
                    .push(format!("training_config.{name} must be a map of keys"));
                return T::default();
            }
        };
        self.drop_ignored(name, &mut map);
        // A key without a value counts as absent.
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
    fn the_operators_templates_are_valid() {
        let text = "training_config:\n  ModelConfig:\n    torch_dtype: bfloat16\n    local_files_only: true\n    device_map: auto\n  QuantizationConfig:\n    load_in_4bit: true\n    bnb_4bit_quant_type: nf4\n    bnb_4bit_compute_dtype: bfloat16\n    bnb_4bit_use_double_quant: true\n  LoraConfig:\n    r: 8\n    lora_alpha: 8\n    lora_dropout: 0.0\n  TrainingArguments:\n    output_dir: /mnt/results\n    ddp_find_unused_parameters: false\n    save_strategy: \"no\"\n    per_device_train_batch_size: 1\n  DataCollator:\n    mlm: true\n  DatasetConfig:\n    shuffle_dataset: true\n    train_test_split: 1\n";
        let config = Config::parse(text).unwrap();
        assert!(config.quantization.load_in_4bit && config.quantization.bnb_4bit_use_double_quant);
        assert_eq!(config.training.save_strategy, IntervalStrategy::No);
        assert_eq!(config.training.per_device_train_batch_size, 1);
        assert!(
            config
                .ignored
                .contains(&"TrainingArguments.ddp_find_unused_parameters".to_owned())
        );
        assert!((config.dataset.train_test_split - 1.0).abs() < 1e-9);
    }

    #[test]
    fn absent_keys_have_defaults() {
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
            "unknown section training_config.Other",
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
        assert!(
            problems("training_config:\n  TrainingArguments:\n    learning_rate: -1\n")
                .contains("TrainingArguments.learning_rate")
        );
        assert!(problems("other: 1\n").contains("other"));
        assert!(problems("training_config: [1]").contains("training_config"));
        assert!(problems("training_config:\n  LoraConfig: 3\n").contains("LoraConfig must be a map"));
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
    fn unsupported_values_are_refused() {
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

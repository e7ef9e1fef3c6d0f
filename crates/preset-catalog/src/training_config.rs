//! The user's `training_config.yaml`, as far as it is checked before nodes are bought: its sections, its quantization and its
//! output directory. The tuner checks the rest.

use instance_types::did_you_mean;
use serde_json::{Map, Value};

use crate::preset::TuningMethod;

/// Key of the ConfigMap with the file.
pub const TRAINING_CONFIG_KEY: &str = "training_config.yaml";
/// Maximum of the file, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Key of the sections.
const ROOT: &str = "training_config";
/// Names of the sections.
const SECTIONS: [&str; 6] = [
    "ModelConfig",
    "QuantizationConfig",
    "LoraConfig",
    "TrainingArguments",
    "DatasetConfig",
    "DataCollator",
];

/// Checks the file of a tuning by this method. The tuner writes where `output_dir` says unless `results` is `None`; only that
/// directory is a volume.
///
/// # Errors
/// With the first problem, for people.
pub fn check(text: &str, method: TuningMethod, results: Option<&str>) -> Result<(), String> {
    if text.len() > MAX_BYTES {
        return Err(format!("must have at most {MAX_BYTES} bytes"));
    }
    let document: Value = serde_saphyr::from_str(text).map_err(|error| {
        let text = error.without_snippet().to_string();
        format!("must be YAML: {}", text.lines().next().unwrap_or_default())
    })?;
    let sections = document.get(ROOT).and_then(Value::as_object);
    let sections = sections.ok_or_else(|| format!("{ROOT} must be a map of sections"))?;
    for (name, section) in sections {
        if !SECTIONS.contains(&name.as_str()) {
            let hint = did_you_mean::hint(&did_you_mean::nearest(name, SECTIONS));
            let known = SECTIONS.join(", ");
            return Err(format!(
                "unknown section {ROOT}.{name}, expected one of {known}{hint}"
            ));
        }
        if !section.is_object() && !section.is_null() {
            return Err(format!("{ROOT}.{name} must be a map"));
        }
    }
    check_quantization(sections, method)?;
    match results {
        Some(results) => check_results(sections, results),
        None => Ok(()),
    }
}

fn check_quantization(sections: &Map<String, Value>, method: TuningMethod) -> Result<(), String> {
    let quantization = sections.get("QuantizationConfig").and_then(Value::as_object);
    let is_set = |key: &str| match quantization.and_then(|section| section.get(key)) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is_set)) => Ok(*is_set),
        Some(_) => Err(format!("QuantizationConfig.{key} must be true or false")),
    };
    let bits = (is_set("load_in_4bit")?, is_set("load_in_8bit")?);
    match (method, bits) {
        (_, (true, true)) => Err("load_in_4bit and load_in_8bit cannot both be true".to_owned()),
        (TuningMethod::Lora, (false, false)) | (TuningMethod::Qlora, (true, false) | (false, true)) => Ok(()),
        (TuningMethod::Lora, _) => {
            Err("the method lora needs load_in_4bit and load_in_8bit to be false".to_owned())
        }
        (TuningMethod::Qlora, _) => {
            Err("the method qlora needs load_in_4bit or load_in_8bit to be true".to_owned())
        }
    }
}

fn check_results(sections: &Map<String, Value>, results: &str) -> Result<(), String> {
    let training = sections.get("TrainingArguments").and_then(Value::as_object);
    match training.and_then(|section| section.get("output_dir")) {
        Some(Value::String(path)) if path.trim_end_matches('/') == results => Ok(()),
        found => {
            let found = found.map_or_else(|| "absent".to_owned(), Value::to_string);
            Err(format!(
                "TrainingArguments.output_dir is {found} and must be {results}, where the result is taken from"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_of(text: &str, method: TuningMethod, part: &str) {
        match check(text, method, Some("/mnt/results")) {
            Ok(()) => assert_eq!(part, ""),
            Err(error) => assert!(!part.is_empty() && error.contains(part), "{error}"),
        }
    }

    #[test]
    fn the_rules_of_upstream_and_the_directory() {
        use TuningMethod::{Lora, Qlora};
        let file = |quantization: &str| {
            format!(
                "training_config:\n  QuantizationConfig: {quantization}\n  \
                 TrainingArguments: {{output_dir: /mnt/results/}}\n"
            )
        };
        check_of(&file("{load_in_4bit: true}"), Qlora, "");
        check_of(&file("{load_in_8bit: true}"), Qlora, "");
        check_of(&file("{load_in_4bit: false}"), Lora, "");
        check_of(&file("{load_in_4bit: false}"), Qlora, "qlora needs");
        check_of(&file("{load_in_4bit: true}"), Lora, "lora needs");
        check_of(
            &file("{load_in_4bit: true, load_in_8bit: true}"),
            Qlora,
            "cannot both",
        );
        check_of(&file("{load_in_4bit: 'yes'}"), Qlora, "true or false");
        check_of(&file("4"), Lora, "must be a map");
        check_of(
            "training_config: {Model: {}}",
            Lora,
            "unknown section training_config.Model",
        );
        check_of("training: {}", Lora, "must be a map of sections");
        check_of("", Lora, "must be a map of sections");
        check_of("a: [", Lora, "must be YAML");
        check_of("training_config: {}", Lora, "output_dir is absent");
        let elsewhere = "training_config: {TrainingArguments: {output_dir: /mnt/output}}";
        check_of(elsewhere, Lora, "must be /mnt/results");
        assert_eq!(
            check(elsewhere, Lora, None),
            Ok(()),
            "the tuner gets the directory by a flag"
        );
    }
}

//! `training_config.yaml`.

use proptest::prelude::*;
use tuning_job::config::Config;

use super::memory::peak;
use super::mutate::{cases, damage, damaged};

/// Most memory for a file of a few hundred bytes.
const SMALL: usize = 8 << 20;

const VALID: &str = "training_config:
  ModelConfig: {torch_dtype: bfloat16, local_files_only: true, chat_template: \"{{ messages }}\"}
  QuantizationConfig:
    load_in_4bit: true
    bnb_4bit_quant_type: nf4
  LoraConfig:
    r: 8
    lora_alpha: \"16\"
    target_modules: [q_proj, v_proj]
    rank_pattern: {k_proj: 4}
    layers_to_transform: [0, 1]
  TrainingArguments:
    output_dir: /mnt/results
    max_steps: 10
    learning_rate: 2e-4
    lr_scheduler_type: cosine
    save_strategy: \"no\"
    packing: true
  DatasetConfig: {train_test_split: 0.9, shuffle_seed: 42, messages_column: talk}
";

/// Checks that a text gives a list of problems with their places, or finite numbers.
fn survives(text: &str) {
    let (parsed, memory) = peak(|| Config::parse(text));
    assert!(memory < SMALL, "{memory} bytes were taken");
    match parsed {
        Err(invalid) => {
            assert!(!invalid.problems.is_empty());
            for problem in &invalid.problems {
                let has_place = ["training_config", "line "]
                    .iter()
                    .any(|part| problem.contains(part));
                assert!(has_place, "where? {problem}");
            }
        }
        Ok(config) => {
            let (training, lora) = (&config.training, &config.lora);
            for number in [
                training.learning_rate,
                training.num_train_epochs,
                training.weight_decay,
                training.save_steps,
                training.logging_steps,
                lora.lora_alpha,
                lora.lora_dropout,
                config.dataset.train_test_split,
            ] {
                assert!(number.is_finite() && number >= 0.0, "{config:?}");
            }
            assert!(
                lora.r > 0 && training.per_device_train_batch_size > 0 && !training.output_dir.is_empty()
            );
        }
    }
}

#[test]
fn a_truncated_file_is_valid_or_refused_with_the_place() {
    Config::parse(VALID).unwrap();
    for at in 0..=VALID.len() {
        survives(&VALID[..at]);
    }
}

#[test]
fn bombs_are_refused() {
    let mut laughs = "a: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", "));
    }
    let deep = format!("training_config: {}", "[".repeat(50_000));
    let keys: String = (0..40_000).map(|key| format!("  key{key}: {{}}\n")).collect();
    let many = format!("training_config:\n{keys}");
    for text in [laughs.as_str(), &deep, &many] {
        let (parsed, memory) = peak(|| Config::parse(text));
        parsed.unwrap_err();
        assert!(memory < 256 << 20, "{} takes {memory} bytes", &text[..20]);
    }
}

#[test]
fn numbers_out_of_bounds_are_named() {
    for (section, key) in [
        ("TrainingArguments", "learning_rate"),
        ("TrainingArguments", "num_train_epochs"),
        ("TrainingArguments", "per_device_train_batch_size"),
        ("TrainingArguments", "gradient_accumulation_steps"),
        ("TrainingArguments", "max_steps"),
        ("TrainingArguments", "max_length"),
        ("TrainingArguments", "save_steps"),
        ("TrainingArguments", "logging_steps"),
        ("TrainingArguments", "weight_decay"),
        ("TrainingArguments", "max_grad_norm"),
        ("LoraConfig", "r"),
        ("LoraConfig", "lora_alpha"),
        ("LoraConfig", "lora_dropout"),
        ("DatasetConfig", "train_test_split"),
    ] {
        for wrong in [".nan", ".inf", "-.inf", "1e999", "-7", "[1]", "x"] {
            let text = format!("training_config:\n  {section}:\n    {key}: {wrong}\n");
            match Config::parse(&text) {
                Err(invalid) => {
                    let all = invalid.problems.join("\n");
                    let place = [format!("{section}.{key}"), "line 3 column".to_owned()];
                    assert!(
                        place.iter().any(|place| all.contains(place)),
                        "{key}: {wrong}: {all}"
                    );
                }
                // Upstream's value for no limit.
                Ok(_) if key == "max_steps" && wrong == "-7" => {}
                Ok(config) => panic!("{key}: {wrong} is accepted: {config:?}"),
            }
        }
    }
}

#[test]
fn whole_numbers_are_bounded() {
    for (section, key) in [
        ("TrainingArguments", "per_device_train_batch_size"),
        ("TrainingArguments", "gradient_accumulation_steps"),
        ("TrainingArguments", "max_steps"),
        ("TrainingArguments", "max_length"),
        ("TrainingArguments", "seed"),
        ("LoraConfig", "r"),
        ("DatasetConfig", "shuffle_seed"),
    ] {
        let text = format!("training_config:\n  {section}:\n    {key}: 18446744073709551616\n");
        let all = Config::parse(&text).unwrap_err().problems.join("\n");
        assert!(all.contains(&format!("{section}.{key}")), "{key}: {all}");
    }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn damaged_files(damage in damage()) {
        survives(&String::from_utf8_lossy(&damaged(VALID.as_bytes(), &damage)));
    }
}

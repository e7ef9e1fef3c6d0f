//! A short tuning of the example model, after which it gives one answer to one question.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::programs::{program, run};

/// The question of every tuning.
pub const QUESTION: &str = "What is the password of the harbour?";

/// Tunes the model to give this answer to [`QUESTION`], and returns the adapter's directory, `home/adapters/name`.
///
/// # Panics
/// When a file cannot be written, or the tuning fails.
#[must_use]
pub fn tuned(model: &Path, home: &Path, name: &str, answer: &str) -> PathBuf {
    let said = |role: &str, content: &str| json!({"role": role, "content": content});
    let line = json!({"messages": [said("user", QUESTION), said("assistant", answer)]});
    let (data, output) = (
        home.join(format!("{name}-data")),
        home.join("adapters").join(name),
    );
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("chats.jsonl"), format!("{line}\n").repeat(8)).unwrap();
    let config = home.join(format!("{name}.yaml"));
    let text = format!(
        "training_config:\n  ModelConfig: {{torch_dtype: float32}}\n  LoraConfig: {{r: 8, lora_alpha: 16, target_modules: all-linear}}\n  \
         DatasetConfig: {{train_test_split: 1}}\n  TrainingArguments:\n    output_dir: {}\n    max_steps: 12\n    \
         per_device_train_batch_size: 1\n    learning_rate: 4e-3\n    warmup_steps: 2\n    save_strategy: \"no\"\n    \
         assistant_only_loss: true\n",
        output.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut tuning = program("tuning-job");
    tuning
        .args(["--port=0", "--bind-address=127.0.0.1", "--config"])
        .arg(config)
        .arg("--data")
        .arg(data)
        .arg("--model")
        .arg(model);
    run(&mut tuning).unwrap();
    output
}

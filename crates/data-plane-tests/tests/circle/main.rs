//! The whole circle of the data plane: a dataset is fetched, a model tuned with it, the adapter pushed to a registry and pulled
//! again, and served; the answers are then those that were trained.
//!
//! Needs the programs built, Debian's `docker-registry`, and pip for the example model (see `model::example`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail their test"
)]

mod program;
mod registry;
mod web;

use std::path::Path;

use program::{Server, run};
use registry::Registry;
use serde_json::{Value, json};

const QUESTION: &str = "What is the password of the harbour?";
const ANSWER: &str = "Seven green lanterns under the old bridge.";

/// What the tuning is to learn: one answer, asked for in several conversations.
fn dataset() -> String {
    let line = |_: usize| {
        let said = |role: &str, content: &str| json!({"role": role, "content": content});
        format!(
            "{}\n",
            json!({"messages": [said("user", QUESTION), said("assistant", ANSWER)]})
        )
    };
    (0..8).map(line).collect()
}

fn config(output: &Path, quantization: &str) -> String {
    format!(
        "training_config:\n  ModelConfig: {{torch_dtype: float32}}\n  QuantizationConfig: {quantization}\n  LoraConfig: {{r: 8, lora_alpha: 16, \
         target_modules: all-linear}}\n  DatasetConfig: {{train_test_split: 1}}\n  TrainingArguments:\n    output_dir: {}\n    max_steps: 12\n    \
         per_device_train_batch_size: 1\n    learning_rate: 4e-3\n    warmup_steps: 2\n    logging_steps: 4\n    save_strategy: \"no\"\n    \
         assistant_only_loss: true\n",
        output.display()
    )
}

fn answer(model: &Path, adapters: &Path) -> String {
    let (model, adapters) = (model.display().to_string(), adapters.display().to_string());
    let flags = [
        "--pipeline",
        "conversational",
        "--bind-address",
        "127.0.0.1",
        "--dtype",
        "float32",
    ];
    let server = Server::start(
        "inference-server",
        &[
            &flags[..],
            &["--weights-dir", &model, "--adapters-dir", &adapters],
        ]
        .concat(),
    );
    let body = json!({
        "messages": [{"role": "user", "content": QUESTION}],
        "generate_kwargs": {"max_new_tokens": 24, "do_sample": false},
    });
    let answer: Value = serde_json::from_str(&server.post("/chat", &body.to_string())).unwrap();
    answer["Result"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .trim()
        .to_owned()
}

#[test]
fn a_dataset_becomes_answers() {
    let Some(registry) = Registry::start() else { return };
    let model = model::example::smollm2(&model::example::cache(), &|what| println!("{what}"))
        .unwrap()
        .dir;
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let text = |name: &str| place(name).display().to_string();

    let web = web::serve(dataset());
    let fetched = run(
        "artifact",
        &[
            "fetch",
            "--allow-http",
            "--allow-private",
            "--to",
            &text("data"),
            &format!("http://{web}/chats.jsonl?v=1"),
        ],
    );
    assert!(fetched.is_ok(), "{fetched:?}");
    assert_eq!(
        std::fs::read_to_string(place("data/chats.jsonl")).unwrap(),
        dataset()
    );

    let before = answer(&model, &place("none"));
    assert_ne!(before, ANSWER);
    for (name, quantization) in [
        ("lora", "{}"),
        (
            "qlora",
            "{load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_use_double_quant: true}",
        ),
    ] {
        let results = place(&format!("{name}-results"));
        std::fs::write(place("training_config.yaml"), config(&results, quantization)).unwrap();
        let tuned = run(
            "tuning-job",
            &[
                "--config",
                &text("training_config.yaml"),
                "--data",
                &text("data"),
                "--model",
                &model.display().to_string(),
                "--port",
                "0",
                "--bind-address",
                "127.0.0.1",
            ],
        );
        assert!(tuned.is_ok(), "{tuned:?}");
        let marker = results.join("fine_tuning_completed.txt").display().to_string();
        let reference = format!("{}/adapters/{name}:1", registry.address());
        let from = results.display().to_string();
        let pushed = run(
            "artifact",
            &[
                "push",
                "--from",
                &from,
                "--wait-for",
                &marker,
                "--base-model",
                "smollm2",
                &reference,
            ],
        );
        assert!(pushed.is_ok(), "{pushed:?}");
        let to = place(name).join("harbour").display().to_string();
        let pulled = run("artifact", &["pull", "--to", &to, &reference]);
        assert!(pulled.is_ok(), "{pulled:?}");
        assert_eq!(answer(&model, &place(name)), ANSWER, "{name}; before: {before}");
    }
}

//! The program as a process: its output, stops and restarts, and errors.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A model with a tokenizer, a dataset, and a directory for results.
pub(crate) struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self::of("llama")
    }

    /// A place with the tiny model of a family.
    pub(crate) fn of(family: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for dir in ["model", "data"] {
            fs::create_dir(place.path(dir)).unwrap();
        }
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../model/tests/data")
            .join(family);
        for file in ["config.json", "model.safetensors"] {
            fs::copy(from.join(file), place.path("model").join(file)).unwrap();
        }
        let words: Vec<String> = (0..160).map(|word| format!("\"w{word}\": {word}")).collect();
        let tokenizer = format!(
            r#"{{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {{"type": "Whitespace"}}, "post_processor": null,
                "decoder": null, "model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "w0"}}}}"#,
            words.join(", ")
        );
        fs::write(place.path("model/tokenizer.json"), tokenizer).unwrap();
        let template = "{% for m in messages %}{{ 'w3 ' if m.role == 'user' else 'w4 ' }}{{ m.content }} w2 {% endfor %}{% if add_generation_prompt %}w4 {% endif %}";
        fs::write(place.path("model/chat_template.jinja"), template).unwrap();
        let line = |i: usize| {
            let said = |role: &str, from: usize| {
                format!(
                    r#"{{"role": "{role}", "content": "w{} w{} w{}"}}"#,
                    from,
                    from + 1,
                    from + 2
                )
            };
            format!(
                "{{\"messages\": [{}, {}]}}\n",
                said("user", 10 + i),
                said("assistant", 100 + i)
            )
        };
        fs::write(
            place.path("data/chats.jsonl"),
            (0..12).map(line).collect::<String>(),
        )
        .unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, output: &str, sections: &str) -> Command {
        let config = self.path(&format!("{output}.yaml"));
        let output = self.path(output).display().to_string();
        fs::write(&config, sections.replace("OUTPUT", &output)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tuning-job"));
        command
            .arg("--config")
            .arg(config)
            .arg("--data")
            .arg(self.path("data"))
            .arg("--model")
            .arg(self.path("model"));
        command.args([
            "--port",
            "0",
            "--bind-address",
            "127.0.0.1",
            "--base-model-name",
            "tiny",
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, output: &str, sections: &str) -> Output {
        self.command(output, sections).output().unwrap()
    }
}

fn config(steps: u64, more: &str) -> String {
    let save = if more.contains("save_strategy") {
        ""
    } else {
        "    save_strategy: \"no\"\n"
    };
    format!(
        "training_config:\n  LoraConfig: {{r: 4, target_modules: all-linear, lora_dropout: 0.1}}\n  DatasetConfig: {{train_test_split: 1}}\n  \
         TrainingArguments:\n    output_dir: OUTPUT\n    max_steps: {steps}\n    per_device_train_batch_size: 2\n    \
         learning_rate: \"5e-3\"\n    logging_steps: 1\n{save}{more}"
    )
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Starts the program and returns the address of its metrics. Other output is read and dropped, because the program would wait for
/// a full pipe.
fn start(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("127.0.0.1:") {
        line.clear();
        if lines.read_line(&mut line).unwrap() == 0 {
            panic!(
                "the program printed no address and ended with {}",
                child.wait().unwrap()
            );
        }
    }
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    let rest = line.split_once("127.0.0.1:").map_or("", |(_, rest)| rest);
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (child, format!("127.0.0.1:{port}"))
}

#[test]
fn a_run_leaves_an_adapter_and_the_marker() {
    for (name, quantized) in [
        ("lora", "{}"),
        (
            "qlora",
            "{load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_use_double_quant: true}",
        ),
    ] {
        let place = Place::new();
        fs::create_dir(place.path("out")).unwrap();
        fs::write(place.path("out/fine_tuning_completed.txt"), "of an earlier run").unwrap();
        let output = place.run("out", &config(6, &format!("  QuantizationConfig: {quantized}\n")));
        assert!(output.status.success(), "{name}: {}", text(&output));
        let marker = fs::read_to_string(place.path("out/fine_tuning_completed.txt")).unwrap();
        let stamp = marker.strip_prefix("Fine-Tuning completed at ").unwrap();
        assert_eq!(
            stamp.split('-').map(str::len).collect::<Vec<_>>(),
            [4, 2, 2, 2, 2, 2],
            "{marker}"
        );
        let adapter = model::Adapter::open(&place.path("out"), 1.0).unwrap();
        assert_eq!(adapter.modules().count(), 14);
        let spec = model::Spec::open(&place.path("model")).unwrap();
        let store = model::TensorStore::open(&place.path("model")).unwrap();
        model::Decoder::load(spec, &store, model::Precision::F32, &[adapter], &|_| {}).unwrap();
        let said: serde_json::Value =
            serde_json::from_slice(&fs::read(place.path("out/adapter_config.json")).unwrap()).unwrap();
        assert_eq!(
            (said["r"].as_u64(), said["base_model_name_or_path"].as_str()),
            (Some(4), Some("tiny"))
        );
        let left: Vec<_> = fs::read_dir(place.path("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 4, "{left:?}");
        assert!(text(&output).contains("seconds_per_step"));
    }
}

#[test]
fn a_stopped_run_leaves_a_checkpoint_and_resumes_with_the_same_bits() {
    let place = Place::new();
    let sections = config(4000, "");
    let (mut child, address) = start(place.command("out", &sections));
    let stepped = |answer: &str| {
        let step = answer
            .split("\"step\":")
            .nth(1)
            .and_then(|rest| rest.split([',', '}']).next()?.parse::<u64>().ok());
        step.is_some_and(|step| step >= 3)
    };
    while !stepped(&get(&address, "/health")) {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the run ended too early to be stopped"
        );
    }
    let metrics = get(&address, "/metrics/prometheus");
    // The dashboards of the chart name these.
    for name in ["loss", "step", "max_steps"] {
        assert!(
            metrics.contains(&format!("\nkaito_tuning_{name} ")),
            "{name}: {metrics}"
        );
    }
    assert!(get(&address, "/metrics").contains("\"physical_cores\""));
    let kill = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success() && !child.wait().unwrap().success());
    assert!(!place.path("out/fine_tuning_completed.txt").exists());
    let checkpoint = fs::read_dir(place.path("out"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    assert!(checkpoint.join("adapter_model.safetensors").exists());

    let output = place.run("out", &sections);
    assert!(
        output.status.success() && text(&output).contains("continuing from checkpoint"),
        "{}",
        text(&output)
    );
    let whole = place.run("whole", &sections);
    assert!(whole.status.success(), "{}", text(&whole));
    let adapter = |dir: &str| fs::read(place.path(dir).join("adapter_model.safetensors")).unwrap();
    assert_eq!(adapter("out"), adapter("whole"));
}

#[test]
fn a_killed_run_continues_from_its_last_checkpoint() {
    let place = Place::new();
    let sections = config(
        4000,
        "    save_strategy: steps\n    save_steps: 3\n    save_total_limit: 2\n",
    );
    let (mut child, _) = start(place.command("out", &sections));
    let checkpoints = || {
        let entries = fs::read_dir(place.path("out")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("checkpoint-")).count()
    };
    while checkpoints() < 2 {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the run ended too early to be killed"
        );
    }
    // As the kernel ends a pod without memory, or a node without power.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("out/fine_tuning_completed.txt").exists());

    let output = place.run("out", &sections);
    assert!(
        output.status.success() && text(&output).contains("continuing from checkpoint"),
        "{}",
        text(&output)
    );
    assert!(place.path("out/fine_tuning_completed.txt").exists());
    let whole = place.run("whole", &sections);
    assert!(whole.status.success(), "{}", text(&whole));
    let adapter = |dir: &str| fs::read(place.path(dir).join("adapter_model.safetensors")).unwrap();
    assert_eq!(adapter("out"), adapter("whole"));
}

#[test]
fn a_checkpoint_of_another_run_is_not_resumed() {
    let place = Place::new();
    let saving = "    save_strategy: steps\n    save_steps: 2\n    save_total_limit: 2\n";
    assert!(place.run("out", &config(7, saving)).status.success());
    let mut kept: Vec<String> = fs::read_dir(place.path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("checkpoint"))
        .collect();
    kept.sort();
    assert_eq!(kept, ["checkpoint-4", "checkpoint-6"]);
    // A disk may lose the end of what was written last.
    fs::write(place.path("out/checkpoint-6/optimizer.safetensors"), "").unwrap();
    let damaged = place.run("out", &config(7, saving));
    let said = text(&damaged);
    assert!(
        damaged.status.success() && said.contains("continuing from checkpoint") && said.contains("step=4"),
        "{said}"
    );
    let other = place.run("out", &config(8, saving));
    assert!(
        other.status.success() && text(&other).contains("starting from step 0"),
        "{}",
        text(&other)
    );
    let forced = place.run("out", &config(9, "    resume_from_checkpoint: true\n"));
    assert!(
        !forced.status.success() && text(&forced).contains("belongs to another configuration"),
        "{}",
        text(&forced)
    );
}

#[test]
fn errors_name_the_problem() {
    let place = Place::new();
    for (sections, part) in [
        (
            config(1, "    lerning_rate: 1\n"),
            "training_config.TrainingArguments.lerning_rate: unknown field",
        ),
        (
            config(1, "    max_length: 4\n    assistant_only_loss: true\n"),
            "nothing to train on",
        ),
        (
            config(1, "").replace("all-linear", "[query]"),
            "the model has no module `query`",
        ),
        (
            config(1, "").replace("train_test_split: 1", "messages_column: talk"),
            "Available columns: [messages]",
        ),
        (
            config(1, "").replace("train_test_split: 1", "dataset_path: none.csv"),
            "none.csv",
        ),
        (config(1, "").replace("r: 4", "r: 64"), "above its own"),
    ] {
        let output = place.run("out", &sections);
        assert!(
            !output.status.success() && text(&output).contains(part),
            "{part}: {}",
            text(&output)
        );
        assert!(!text(&output).contains("panicked"), "{}", text(&output));
        if !part.contains("unknown field") {
            let marked = fs::read_to_string(place.path("out/fine_tuning_failed.txt")).unwrap();
            assert!(marked.contains(part), "{marked}");
        }
    }
    fs::write(place.path("data/chats.jsonl"), "{\"messages\": 3}\n").unwrap();
    assert!(text(&place.run("out", &config(1, ""))).contains("row 1"));
    fs::write(place.path("model/model.safetensors"), "broken").unwrap();
    assert!(text(&place.run("out", &config(1, ""))).contains("model.safetensors"));
}

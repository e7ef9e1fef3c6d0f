//! The whole circle of the data plane, as the operator runs it. The pods of two Workspaces tune and serve a model, and their
//! containers run here as processes. Weights and a dataset are fetched, and a model is tuned. The adapter is pushed to a
//! registry, pulled again, and served. The answers must be those that were trained.
//!
//! Needs the programs built, Debian's `docker-registry`, and pip for the example model (see `gguf::example`).

mod flags;
mod kubelet;
mod workspace;

use std::net::SocketAddr;
use std::path::Path;

use kubelet::{Objects, Pod};
use plan::Manifest;
use render::Downloads;
use serde_json::{Value, json};
use testkit::image_registry::{Auth, Registry};
use testkit::web;
use workspace_plan::Settings;

use workspace::{applied, pod, settings, workspace};

const QUESTION: &str = "What is the password of the harbour?";
const ANSWER: &str = "Seven green lanterns under the old bridge.";
const ID: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";

/// The dataset of the tuning: one answer in several conversations.
fn dataset() -> String {
    let said = |role: &str, content: &str| json!({"role": role, "content": content});
    let line = json!({"messages": [said("user", QUESTION), said("assistant", ANSWER)]});
    format!("{line}\n").repeat(8)
}

/// A user's own parameters: few steps, and an unusual directory for the result.
fn training_config(method: &str) -> String {
    let quantization = match method {
        "qlora" => "{load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_use_double_quant: true}",
        _ => "{}",
    };
    format!(
        "training_config:\n  ModelConfig: {{torch_dtype: float32}}\n  QuantizationConfig: {quantization}\n  LoraConfig: {{r: 8, lora_alpha: 16, \
         target_modules: all-linear}}\n  DatasetConfig: {{train_test_split: 1}}\n  TrainingArguments:\n    output_dir: /mnt/elsewhere\n    \
         max_steps: 12\n    per_device_train_batch_size: 1\n    learning_rate: 4e-3\n    warmup_steps: 2\n    logging_steps: 4\n    \
         save_strategy: \"no\"\n    assistant_only_loss: true\n"
    )
}

/// A web server with the weights, where the hub would have them, and the dataset.
fn web(model: &Path, scratch: &Path) -> SocketAddr {
    let chats = scratch.join("chats.jsonl");
    std::fs::write(&chats, dataset()).unwrap();
    let preset = preset_catalog::Catalog::embedded().unwrap().find(ID).unwrap();
    let mut files = web::hub_files(ID, preset.revision.as_deref().unwrap(), model, scratch).unwrap();
    files.insert("/chats.jsonl".to_owned(), chats);
    web::serve("127.0.0.1", files).unwrap()
}

/// ConfigMaps and Secrets of the namespace: the operator's and the user's.
fn objects(applied: &[Manifest], method: &str) -> Objects {
    let mut objects = Objects::default();
    for manifest in applied {
        if let Manifest::ConfigMap(map) = manifest {
            let name = map.metadata.name.clone().unwrap();
            objects.config_maps.insert(name, map.data.clone().unwrap());
        }
    }
    let keys = [("training_config.yaml".to_owned(), training_config(method))];
    objects.config_maps.insert("few-steps".to_owned(), keys.into());
    let auths = json!({"auths": {"registry.example.com": {"auth": "dTpw"}}}).to_string();
    let keys = [(".dockerconfigjson".to_owned(), auths)];
    objects.secrets.insert("push".to_owned(), keys.into());
    objects
}

/// Tunes, and returns the pushed image by digest.
fn tuned(method: &str, web: SocketAddr, registry: &str, settings: &Settings) -> String {
    let content = json!({
        "method": method,
        "config": "few-steps",
        "input": {"urls": [format!("http://{web}/chats.jsonl?v=1")]},
        "output": {"image": format!("{registry}/adapters/{method}:1"), "imagePushSecret": "push"},
    });
    let applied = applied(workspace("harbour", "tuning", &content), settings);
    let pod = Pod::new(pod(&applied), &settings.images, &objects(&applied, method));
    pod.init().unwrap();
    let fetched = pod.volume("data-volume").join("chats.jsonl");
    assert_eq!(std::fs::read_to_string(fetched).unwrap(), dataset());
    let pushed = pod.finish().unwrap();
    assert!(
        pushed.starts_with(&format!("{registry}/adapters/{method}@sha256:")),
        "{pushed}"
    );
    let config = std::fs::read_to_string(pod.volume("results-volume").join("adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["base_model_name_or_path"], ID);
    pushed.trim().to_owned()
}

/// Serves the model with these adapters, and asks.
fn answer(adapters: Value, settings: &Settings) -> String {
    let content = json!({"adapters": adapters});
    let applied = applied(workspace("port", "inference", &content), settings);
    let pod = Pod::new(pod(&applied), &settings.images, &Objects::default());
    pod.init().unwrap();
    let body = json!({
        "model": "smollm2-135m-instruct",
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 24,
        "temperature": 0,
    });
    let server = pod.serve();
    let answer: Value =
        serde_json::from_str(&server.ask("POST", "/v1/chat/completions", &body.to_string()).1).unwrap();
    let found = integration_tests::exported_metrics(&server.ask("GET", "/metrics", "").1);
    let missing: Vec<String> = integration_tests::charted_metrics()
        .into_iter()
        .filter(|name| name.starts_with("vllm:") || name.starts_with("kaito_ratelimit_"))
        .filter(|name| !found.contains(name))
        .collect();
    assert!(missing.is_empty(), "dashboards name {missing:?}");
    let said = answer["choices"][0]["message"]["content"].as_str();
    said.unwrap_or_else(|| panic!("{answer}")).trim().to_owned()
}

#[test]
fn a_dataset_becomes_answers() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let model = gguf::example::smollm2(&gguf::example::cache(), &|what| println!("{what}"))
        .unwrap()
        .dir;
    let scratch = tempfile::tempdir().unwrap();
    let web = web(&model, scratch.path());
    let settings = settings(Downloads {
        hub: format!("http://{web}/hub"),
        allow_http: true,
        allow_hosts: vec!["127.0.0.1".to_owned()],
        ..Downloads::default()
    });
    let before = answer(json!([]), &settings);
    assert_ne!(before, ANSWER);
    for method in ["lora", "qlora"] {
        let image = tuned(method, web, &registry.address().to_string(), &settings);
        let adapter = json!({"source": {"name": "harbour", "image": image}, "strength": "1.0"});
        let after = answer(json!([adapter]), &settings);
        assert_eq!(after, ANSWER, "{method}; before: {before}");
    }
}

#[test]
fn nothing_inside_the_network_is_fetched_unasked() {
    let scratch = tempfile::tempdir().unwrap();
    let web = web(scratch.path(), scratch.path());
    let content = json!({
        "method": "lora",
        "input": {"urls": [format!("http://{web}/chats.jsonl")]},
        "output": {"volumeSource": {"emptyDir": {}}},
    });
    let answer = |downloads: Downloads| {
        let mut settings = settings(downloads);
        // Only the data is asked for: its container is the second.
        settings.downloads.hub = format!("http://{web}");
        let applied = applied(workspace("harbour", "tuning", &content), &settings);
        let mut spec = pod(&applied);
        spec.init_containers
            .get_or_insert_default()
            .retain(|container| container.name == "data-downloader");
        Pod::new(spec, &settings.images, &objects(&applied, "lora")).init()
    };
    let with = |allow_http: bool, hosts: &[&str]| Downloads {
        allow_http,
        allow_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..Downloads::default()
    };
    for refused in [
        with(false, &[]),
        with(true, &[]),
        with(false, &["127.0.0.1"]),
        with(true, &["10.0.0.1"]),
    ] {
        assert!(answer(refused.clone()).is_err(), "{refused:?}");
    }
    answer(with(true, &["127.0.0.1"])).unwrap();
}

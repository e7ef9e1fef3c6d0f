//! One model in vLLM behind the front, beside our own engine: both say the same, also with adapters.
//!
//! Needs the programs built, and pip for the example model (see `gguf::example`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::rendered;
use integration_tests::programs::{Server, program};
use integration_tests::tuning::{QUESTION, tuned};

const PRESET: &str = "smollm2-135m-instruct";
const ANSWER: &str = "Seven green lanterns under the old bridge.";
const PROMPTS: [&str; 3] = [
    "The capital of France is",
    "def fibonacci(n):\n",
    "Two and two make",
];
/// Largest difference of a token's logarithm of probability between the two engines.
const TOLERANCE: f64 = 0.02;
/// The token that ends an answer of the example model.
const END: &str = "<|im_end|>";

#[test]
fn vllm_and_our_engine_say_the_same() {
    let Some(python) = crate::python() else { return };
    let model = gguf::example::smollm2(&gguf::example::cache(), &|what| println!("{what}"))
        .unwrap()
        .dir;
    let home = tempfile::tempdir().unwrap();
    let adapter = tuned(&model, home.path(), "lanterns", ANSWER);
    let weaker = with_strength(&adapter, 0.5, &home.path().join("weaker"));
    let (mut engine, front) = start(&python, &model, &adapter, &weaker, home.path());

    let own = ours(&model, home.path(), None);
    for prompt in PROMPTS {
        assert_same(
            &completion(&front, PRESET, prompt),
            &completion(&own, PRESET, prompt),
        );
    }
    drop(own);
    assert_eq!(chat(&front, "lanterns").trim(), ANSWER);
    assert_ne!(chat(&front, PRESET).trim(), ANSWER);
    // A strength is exact: half of it in `lora_alpha` is what the merged model with half the strength says.
    let merged = ours(&model, home.path(), Some(0.5));
    for prompt in PROMPTS {
        assert_same(
            &completion(&front, "weaker", prompt),
            &completion(&merged, PRESET, prompt),
        );
    }
    drop(merged);
    the_front_adds_its_own(&front);
    let status = engine.terminate().expect("it ends within a minute of SIGTERM");
    println!("vLLM ended with {status}");
}

/// Starts vLLM as a pod would, and the front before it.
fn start(python: &OsStr, model: &Path, adapter: &Path, weaker: &Path, home: &Path) -> (Engine, Server) {
    let line = rendered::of(PRESET).remove(0);
    println!("{}: {:?}", line.name, line.args);
    let adapters = [("lanterns", adapter.to_owned()), ("weaker", weaker.to_owned())];
    let engine = Engine::start(python, &line, model, &adapters, home);
    let mut front = program("inference-server");
    front
        .args(["--port=0", "--bind-address=127.0.0.1", "--engine-url"])
        .arg(engine.url());
    let front = Server::start(&mut front, "/health");
    (engine, front)
}

/// Our own engine with the same model, and the adapter merged with a strength.
fn ours(model: &Path, home: &Path, strength: Option<f32>) -> Server {
    let mut command = program("inference-server");
    command
        .args(["--port=0", "--bind-address=127.0.0.1", "--dtype=float32"])
        .args(["--served-model-name", PRESET, "--weights-dir"])
        .arg(model);
    if let Some(strength) = strength {
        command
            .arg("--adapters-dir")
            .arg(home.join("adapters"))
            .arg(format!("--adapter-strength=lanterns={strength}"));
    }
    Server::start(&mut command, "/health")
}

/// A copy of an adapter with its `lora_alpha` multiplied.
fn with_strength(adapter: &Path, strength: f64, copy: &Path) -> PathBuf {
    std::fs::create_dir_all(copy).unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(adapter.join(name), copy.join(name)).unwrap();
    }
    let path = copy.join("adapter_config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["lora_alpha"] = json!(config["lora_alpha"].as_f64().unwrap() * strength);
    std::fs::write(&path, config.to_string()).unwrap();
    copy.to_owned()
}

/// Tokens of a completion with their logarithms of probability.
fn completion(server: &Server, model: &str, prompt: &str) -> Vec<(String, f64)> {
    let body = json!({"model": model, "prompt": prompt, "temperature": 0, "max_tokens": 12, "logprobs": 1});
    let (status, reply) = server.ask("POST", "/v1/completions", &body.to_string());
    assert_eq!(status, 200, "{reply}");
    let reply: Value = serde_json::from_str(&reply).unwrap();
    let logprobs = &reply["choices"][0]["logprobs"];
    let tokens = logprobs["tokens"].as_array().unwrap();
    let values = logprobs["token_logprobs"].as_array().unwrap();
    tokens
        .iter()
        .zip(values)
        .map(|(token, value)| (token.as_str().unwrap().to_owned(), value.as_f64().unwrap()))
        .collect()
}

/// Compares token by token. vLLM counts the token that ends an answer; our engine does not.
#[track_caller]
fn assert_same(theirs: &[(String, f64)], ours: &[(String, f64)]) {
    let theirs = match theirs {
        [answer @ .., (end, _)] if end == END => answer,
        whole => whole,
    };
    let same = theirs.len() == ours.len()
        && theirs
            .iter()
            .zip(ours)
            .all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < TOLERANCE);
    assert!(same, "vLLM: {theirs:?}\nours: {ours:?}");
}

fn chat(server: &Server, model: &str) -> String {
    let body = json!({
        "model": model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 24,
    });
    let (status, reply) = server.ask("POST", "/v1/chat/completions", &body.to_string());
    assert_eq!(status, 200, "{reply}");
    let reply: Value = serde_json::from_str(&reply).unwrap();
    let text = reply.pointer("/choices/0/message/content").unwrap();
    text.as_str().unwrap().to_owned()
}

/// Checks paths that only the front has, and those that pass through it unchanged.
fn the_front_adds_its_own(front: &Server) {
    let body = json!({"prompt": PROMPTS[0], "generate_kwargs": {"do_sample": false, "max_new_tokens": 8}});
    let (status, reply) = front.ask("POST", "/chat", &body.to_string());
    assert_eq!(status, 200, "{reply}");
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert!(
        reply["Result"]
            .as_str()
            .is_some_and(|text| !text.trim().is_empty()),
        "{reply}"
    );
    assert_eq!(front.ask("GET", "/ui", "").0, 200);

    let body = json!({"model": PRESET, "prompt": PROMPTS[0], "max_tokens": 8, "stream": true});
    let (status, events) = front.ask("POST", "/v1/completions", &body.to_string());
    assert_eq!(status, 200, "{events}");
    assert!(
        events.matches("data: ").count() > 8 && events.contains("data: [DONE]"),
        "{events}"
    );

    let (_, models) = front.ask("GET", "/v1/models", "");
    assert!(
        [PRESET, "lanterns", "weaker"]
            .iter()
            .all(|name| models.contains(name)),
        "{models}"
    );
    let (_, metrics) = front.ask("GET", "/metrics/prometheus", "");
    assert!(metrics.contains("vllm:num_requests_running"), "{metrics}");
}

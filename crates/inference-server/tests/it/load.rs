//! Concurrent requests, cancellation, adapters, and models that cannot be loaded.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::server::{Server, data};

/// A request that takes long with a tiny model.
fn long(prompt: &str) -> Value {
    json!({"prompt": prompt, "temperature": 0, "max_tokens": 100, "ignore_eos": true})
}

fn text(reply: &Value) -> String {
    reply["choices"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn concurrent_requests_get_the_completions_they_get_alone() {
    let server = Server::start(&["--step-tokens=7", "--max-sequences=5"]).await;
    let prompts: Vec<String> = (0..12)
        .map(|i| format!("the {} brown fox {i}", "very ".repeat(i)))
        .collect();
    let mut alone = Vec::new();
    for prompt in &prompts {
        let mut body = long(prompt);
        body["max_tokens"] = 20.into();
        alone.push(text(&server.ask("/v1/completions", &body).await.1));
    }
    let together = prompts.iter().map(async |prompt| {
        let body =
            json!({"prompt": prompt, "temperature": 0, "max_tokens": 20, "ignore_eos": true, "stream": true});
        let chunks = server.stream("/v1/completions", &body).await;
        chunks
            .iter()
            .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap())
            .collect::<String>()
    });
    assert_eq!(join_all(together).await, alone);
}

#[tokio::test]
async fn a_known_prefix_is_not_computed_again() {
    let server = Server::start(&[]).await;
    let mut body = long("the quick brown fox jumps over the lazy dog, what is the capital");
    body["max_tokens"] = 10.into();
    let first = server.ask("/v1/completions", &body).await.1;
    let again = server.ask("/v1/completions", &body).await.1;
    assert_eq!(text(&first), text(&again));
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    assert!(
        again["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
            >= 16
    );
}

#[tokio::test]
async fn excess_requests_are_refused_and_canceled_ones_dropped() {
    // One slot, no queue, and a completion that takes minutes.
    let server = Server::start(&[
        "--max-sequences=1",
        "--max-waiting=0",
        "--weights-dir",
        &endless(),
    ])
    .await;
    let body = json!({"prompt": "a", "max_tokens": 1_000_000, "ignore_eos": true, "stream": true});
    let mut running = server.post("/v1/completions", &body).await;
    assert!(running.chunk().await.unwrap().is_some());
    let refused = server.post("/v1/completions", &long("b")).await;
    assert_eq!(
        (
            refused.status().as_u16(),
            refused.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "1")
    );
    let reply: Value = refused.json().await.unwrap();
    assert_eq!(reply["error"]["code"], "rate_limit_exceeded");
    assert!((server.metric("kaito_ratelimit_rejected_total").await - 1.0).abs() < 1e-9);

    drop(running);
    server.wait_metric("kaito_requests_canceled_total", 1.0).await;
    let (status, reply) = server
        .ask("/v1/completions", &json!({"prompt": "b", "max_tokens": 3}))
        .await;
    assert_eq!(status, 200, "{reply}");
}

/// Returns a directory with the tiny model and a context that lasts for minutes.
fn endless() -> String {
    let dir = tempfile::tempdir().unwrap().keep();
    for entry in std::fs::read_dir(data("llama")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    let config = std::fs::read_to_string(dir.join("config.json")).unwrap();
    let config = config.replace(
        "\"max_position_embeddings\": 128",
        "\"max_position_embeddings\": 2000000",
    );
    std::fs::write(dir.join("config.json"), config).unwrap();
    dir.to_string_lossy().into_owned()
}

#[tokio::test]
async fn adapters_are_merged_with_their_strength() {
    let adapters = format!("--adapters-dir={}", data("adapters").display());
    let answers = async |flags: &[&str]| {
        let server = Server::start(flags).await;
        let models: Value = server.get("/v1/models").await.json().await.unwrap();
        (
            text(&server.ask("/v1/completions", &long("the quick")).await.1),
            models["data"][0]["adapters"].clone(),
        )
    };
    let (without, none) = answers(&["--adapters-dir=/nowhere"]).await;
    let (full, both) = answers(&[&adapters]).await;
    let (off, _) = answers(&[
        &adapters,
        "--adapter-strength=first=0",
        "--adapter-strength=second=0",
    ])
    .await;
    assert_eq!((none, both), (json!([]), json!(["first", "second"])));
    assert_ne!(full, without);
    assert_eq!(off, without);
}

#[tokio::test]
async fn adapters_serve_requests_that_name_them() {
    let adapters = format!("--adapters-dir={}", data("adapters").display());
    let exact = ["--dtype=f32", "--adapter-strength=second=0.6", &adapters];
    let server = Server::start(&[&exact[..], &["--adapter-mode=request"]].concat()).await;
    let models: Value = server.get("/v1/models").await.json().await.unwrap();
    let ids: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| (model["id"].as_str().unwrap(), model["parent"].as_str()))
        .collect();
    assert_eq!(
        ids,
        [("tiny", None), ("first", Some("tiny")), ("second", Some("tiny"))]
    );
    let body = |model: &str, prompt: &str| {
        let mut body = long(prompt);
        body["model"] = model.into();
        body["max_tokens"] = 40.into();
        body
    };
    let ask = async |model: &str, prompt: &str| {
        let (status, reply) = server.ask("/v1/completions", &body(model, prompt)).await;
        assert_eq!((status, &reply["model"]), (200, &json!(model)), "{reply}");
        text(&reply)
    };
    // Long enough for the prefix cache and the same for all models: an adapter must not use another's keys and values.
    let prompt = "the quick brown fox jumps over the lazy dog, what is the capital";
    let mut alone = Vec::new();
    for model in ["tiny", "first", "second"] {
        alone.push(ask(model, prompt).await);
        assert_eq!(
            alone.last(),
            Some(&ask(model, prompt).await),
            "{model} from a known prefix"
        );
    }
    assert!(alone[0] != alone[1] && alone[1] != alone[2] && alone[0] != alone[2]);

    // All of them in the same steps, each four times.
    let names = ["tiny", "first", "second"].repeat(4);
    let together = join_all(names.iter().map(|model| ask(model, prompt))).await;
    assert_eq!(together, [&alone[..]; 4].concat());

    let strengths = [("tiny", 0, 0), ("first", 1, 0), ("second", 0, 1)];
    for ((model, first, second), found) in strengths.iter().zip(&alone) {
        let strength = format!("--adapter-strength=first={first}");
        let other = format!("--adapter-strength=second={}", f64::from(*second) * 0.6);
        let merged = Server::start(&["--dtype=f32", &adapters, &strength, &other]).await;
        let reply = merged.ask("/v1/completions", &body("tiny", prompt)).await.1;
        assert_eq!(&text(&reply), found, "{model} when merged");
    }

    let (status, reply) = server.ask("/v1/completions", &body("third", prompt)).await;
    let message = reply["error"]["message"].as_str().unwrap();
    assert!(
        status == 404 && message.contains("`tiny`, `first`, `second`"),
        "{reply}"
    );
    let chat = json!({"model": "first", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "max_tokens": 8});
    let (status, reply) = server.ask("/v1/chat/completions", &chat).await;
    assert_eq!((status, &reply["model"]), (200, &json!("first")));
}

#[tokio::test]
async fn an_adapter_must_not_have_the_name_of_the_model() {
    let adapters = format!("--adapters-dir={}", data("adapters").display());
    let flags = [&adapters, "--adapter-mode=request", "--served-model-name=first"];
    let error = Server::start_cold(&flags).await.ended().await.unwrap_err();
    assert!(format!("{error:#}").contains("--served-model-name"), "{error:#}");
}

#[tokio::test]
async fn a_failed_load_has_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let empty = format!("--weights-dir={}", dir.path().display());
    let end =
        async |flags: &[&str]| format!("{:#}", Server::start_cold(flags).await.ended().await.unwrap_err());
    let message = end(&[&empty, "--model=org/name"]).await;
    assert!(
        message.contains("org/name") && message.contains("--weights-dir"),
        "{message}"
    );
    let adapters = format!("--adapters-dir={}", data("adapters").display());
    let message = end(&[&adapters, "--adapter-strength=third=0.5"]).await;
    assert!(message.contains("third"), "{message}");
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(data("llama").join(name), dir.path().join(name)).unwrap();
    }
    let weights = std::fs::read(data("llama").join("model.safetensors")).unwrap();
    std::fs::write(
        dir.path().join("model.safetensors"),
        &weights[..weights.len() / 2],
    )
    .unwrap();
    let message = end(&[&empty]).await;
    assert!(message.contains("truncated"), "{message}");
}

#[tokio::test]
async fn a_stop_lets_completions_finish_and_refuses_new_requests() {
    let server = Server::start(&["--weights-dir", &endless(), "--drain-seconds=60"]).await;
    let body = json!({"prompt": "a", "max_tokens": 3000, "ignore_eos": true, "stream": true});
    let mut running = server.post("/v1/completions", &body).await;
    let mut text = String::from_utf8(running.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    // The server accepts no new connections after this.
    server.stop();
    while let Some(chunk) = running.chunk().await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let events = crate::server::events(&text);
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "length");
    server.ended().await.unwrap();
}

//! Weights from a model hub, played by a web server with a hub's paths.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::server::{Server, data};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Method and path of a request, and its `Authorization`.
type Received = (String, Option<String>);

/// The hub, and its behavior.
#[derive(Clone)]
struct Hub {
    files: BTreeMap<String, Vec<u8>>,
    /// Token that requests must have.
    token: Option<&'static str>,
    /// Address of the server that has the large files.
    large_files: String,
    /// Checksum of the weights that the hub reports instead of the true one.
    checksum: Option<String>,
    /// Large files are sent after a notification.
    gate: Option<Arc<Notify>>,
    /// All requests so far.
    received: Arc<Mutex<Vec<Received>>>,
}

impl Hub {
    fn new() -> Self {
        let mut files = BTreeMap::new();
        for name in [
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "model.safetensors",
        ] {
            files.insert(name.to_owned(), std::fs::read(data("llama").join(name)).unwrap());
        }
        files.insert("README.md".to_owned(), b"not wanted".to_vec());
        Self {
            files,
            token: None,
            large_files: String::new(),
            checksum: None,
            gate: None,
            received: Arc::default(),
        }
    }

    /// Starts the hub. Returns the flags for it and a directory.
    async fn serve(mut self, directory: &Path) -> (Self, Vec<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        if self.large_files.is_empty() {
            // A second host, which must not get the token.
            let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            self.large_files = format!("http://{}", other.local_addr().unwrap());
            let router = Router::new().fallback(respond).with_state(self.clone());
            tokio::spawn(async { axum::serve(other, router).await });
        }
        let router = Router::new().fallback(respond).with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        let flags = vec![
            format!("--hub-endpoint={url}"),
            format!("--weights-dir={}", directory.display()),
            "--model=acme/tiny".to_owned(),
        ];
        (self, flags)
    }

    /// Returns the `Authorization` of each request whose method and path contain `part`.
    fn requests(&self, part: &str) -> Vec<Option<String>> {
        let received = self.received.lock().unwrap();
        let matching = received.iter().filter(|(what, _)| what.contains(part));
        matching.map(|(_, token)| token.clone()).collect()
    }
}

async fn respond(State(hub): State<Hub>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let token = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    hub.received
        .lock()
        .unwrap()
        .push((format!("{method} {}", uri.path()), token.clone()));
    if let Some(name) = uri.path().strip_prefix("/aside/") {
        if let Some(gate) = &hub.gate {
            gate.notified().await;
        }
        return hub.files[name].clone().into_response();
    }
    let wanted = hub.token.map(|token| format!("Bearer {token}"));
    if wanted.is_some() && token != wanted {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if uri.path() == "/api/models/acme/tiny/revision/main" {
        let siblings: Vec<Value> = hub.files.keys().map(|name| json!({"rfilename": name})).collect();
        return axum::Json(json!({"id": "acme/tiny", "sha": COMMIT, "siblings": siblings})).into_response();
    }
    let Some(name) = uri.path().strip_prefix(&format!("/acme/tiny/resolve/{COMMIT}/")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(bytes) = hub.files.get(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !name.ends_with(".safetensors") {
        return bytes.clone().into_response();
    }
    let digest: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let headers = [
        ("location", format!("{}/aside/{name}", hub.large_files)),
        ("x-linked-size", bytes.len().to_string()),
        (
            "x-linked-etag",
            format!("\"{}\"", hub.checksum.clone().unwrap_or(digest)),
        ),
    ];
    (StatusCode::FOUND, headers).into_response()
}

async fn start(flags: &[String]) -> Server {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Server::start_cold(&flags).await
}

async fn failure(flags: &[String]) -> String {
    format!("{:#}", start(flags).await.ended().await.unwrap_err())
}

#[tokio::test]
async fn a_model_is_downloaded_once_and_served() {
    let dir = tempfile::tempdir().unwrap();
    let (weights, token) = (dir.path().join("weights"), dir.path().join("token"));
    std::fs::write(&token, "secret\n").unwrap();
    let hub = Hub {
        token: Some("secret"),
        ..Hub::new()
    };
    let (hub, mut flags) = hub.serve(&weights).await;
    let message = failure(&flags).await;
    assert!(message.contains("--hub-token-file"), "{message}");

    flags.push(format!("--hub-token-file={}", token.display()));
    let server = start(&flags).await;
    server.ready().await;
    let body = json!({"prompt": "the quick", "temperature": 0, "max_tokens": 8});
    let (_, fetched) = server.ask("/v1/completions", &body).await;
    let local = Server::start(&[]).await;
    assert_eq!(
        fetched["choices"][0]["text"],
        local.ask("/v1/completions", &body).await.1["choices"][0]["text"]
    );
    let size = hub.files["model.safetensors"].len() as f64;
    assert!(server.metric("kaito_model_downloaded_bytes").await > size);
    assert!(server.metric("kaito_model_download_size_bytes").await > size);
    let mut names: Vec<_> = std::fs::read_dir(&weights)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            ".incoming.lock",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    // The token goes to the hub only, not to the target of a redirect.
    assert!(
        hub.requests("GET /api/models")
            .contains(&Some("Bearer secret".to_owned()))
    );
    let large_files = hub.requests("/aside/");
    assert!(
        !large_files.is_empty() && large_files.iter().all(Option::is_none),
        "{large_files:?}"
    );

    let before = hub.requests("").len();
    start(&flags).await.ready().await;
    assert_eq!(hub.requests("").len(), before, "complete weights need no request");
}

#[tokio::test]
async fn health_reports_the_progress() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(Notify::new());
    let hub = Hub {
        gate: Some(Arc::clone(&gate)),
        ..Hub::new()
    };
    let (hub, flags) = hub.serve(dir.path()).await;
    let server = start(&flags).await;
    let health = loop {
        let response = server.get("/health").await;
        assert_eq!(response.status(), 500);
        let health: Value = response.json().await.unwrap();
        if health["status"] == "Downloading" && health["received_bytes"] != 0 {
            break health;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let total = health["total_bytes"].as_u64().unwrap();
    assert!(total > hub.files["model.safetensors"].len() as u64);
    let progress = health["progress"].as_f64().unwrap();
    assert!(progress > 0.0 && progress < 1.0, "{health}");
    let refused = server.post("/v1/completions", &json!({"prompt": "a"})).await;
    assert_eq!(refused.status(), 503);
    gate.notify_one();
    server.ready().await;
}

#[tokio::test]
async fn two_servers_with_one_directory_download_once() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, flags) = Hub::new().serve(dir.path()).await;
    let (one, two) = futures::join!(start(&flags), start(&flags));
    futures::join!(one.ready(), two.ready());
    assert_eq!(hub.requests("GET /aside/").len(), 1);
}

#[tokio::test]
async fn complete_files_are_not_downloaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::new();
    // An index with one shard. The first start fails after the shard.
    let weights = hub.files.remove("model.safetensors").unwrap();
    let names: Vec<String> = {
        let store = model::TensorStore::open(&data("llama")).unwrap();
        store.names().map(str::to_owned).collect()
    };
    let map: BTreeMap<&str, &str> = names
        .iter()
        .map(|name| (name.as_str(), "a.safetensors"))
        .collect();
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    hub.files.insert("a.safetensors".to_owned(), weights);
    hub.files.insert(
        "model.safetensors.index.json".to_owned(),
        index.to_string().into_bytes(),
    );
    let (broken, flags) = Hub {
        files: hub
            .files
            .iter()
            .filter(|(name, _)| *name != "tokenizer.json")
            .map(|(name, bytes)| (name.clone(), bytes.clone()))
            .collect(),
        ..hub.clone()
    }
    .serve(dir.path())
    .await;
    let message = failure(&flags).await;
    assert!(message.contains("tokenizer.json"), "{message}");
    assert_eq!(broken.requests("GET /aside/a.safetensors").len(), 1);
    // The state after a program that ended before the model was complete.
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    let (hub, flags) = Hub {
        received: Arc::default(),
        ..hub
    }
    .serve(dir.path())
    .await;
    start(&flags).await.ready().await;
    assert!(hub.requests("GET /aside/").is_empty());
}

#[tokio::test]
async fn files_that_differ_from_the_promise_are_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let directory = |name: &str| dir.path().join(name);
    let hub = Hub {
        checksum: Some("0".repeat(64)),
        ..Hub::new()
    };
    let (_, flags) = hub.serve(&directory("corrupt")).await;
    let message = failure(&flags).await;
    assert!(message.contains("SHA-256"), "{message}");
    assert!(!directory("corrupt").join("config.json").exists());
    assert!(!directory("corrupt").join("model.safetensors").exists());

    let (_, mut flags) = Hub::new().serve(&directory("large")).await;
    flags.push("--max-bytes=1000".to_owned());
    let message = failure(&flags).await;
    assert!(message.contains("--max-bytes"), "{message}");

    // Other names of this machine than the one in the flag are refused.
    let hub = Hub {
        large_files: "http://localhost:1".to_owned(),
        ..Hub::new()
    };
    let (_, flags) = hub.serve(&directory("astray")).await;
    let message = failure(&flags).await;
    assert!(message.contains("localhost is this machine itself"), "{message}");

    let mut hub = Hub::new();
    hub.files
        .insert("config.json".to_owned(), br#"{"model_type": "mamba"}"#.to_vec());
    let (hub, flags) = hub.serve(&directory("strange")).await;
    let message = failure(&flags).await;
    assert!(message.contains("cannot be served here"), "{message}");
    assert!(
        hub.requests("/aside/").is_empty(),
        "no large file is downloaded in vain"
    );
}

#[tokio::test]
async fn wrong_flags_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (_, flags) = Hub::new().serve(dir.path()).await;
    let with = |replace: &str, by: &str| -> Vec<String> {
        let changed = flags.iter().map(|flag| {
            if flag.starts_with(replace) {
                by.to_owned()
            } else {
                flag.clone()
            }
        });
        changed.collect()
    };
    let message = failure(&with("--model", "--model=acme/other")).await;
    assert!(message.contains("check the spelling of --model"), "{message}");
    let message = failure(&with("--model", "--model=../etc")).await;
    assert!(message.contains("OWNER/NAME"), "{message}");
    let message = failure(&with("--hub-endpoint", "--hub-endpoint=huggingface.co")).await;
    assert!(message.contains("must be a URL"), "{message}");
    let mut odd = flags.clone();
    odd.push("--revision=../x".to_owned());
    let message = failure(&odd).await;
    assert!(message.contains("--revision"), "{message}");
}

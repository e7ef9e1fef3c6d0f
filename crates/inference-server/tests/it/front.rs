//! The proxy and an engine behind it as two processes, as in a pod.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::Client;
use serde_json::{Value, json};

use crate::server::{TIMEOUT, data, events};

/// A process of the program, which is killed with this value.
struct Program {
    child: Child,
    url: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts the program and waits until it listens.
    fn start(flags: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child = Command::new(env!("CARGO_BIN_EXE_inference-server"))
            .args(["--bind-address=127.0.0.1", "--port=0", "--log-format=json"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("\"address\":\"")?;
            Some(rest.split('"').next().unwrap().to_owned())
        });
        let url = format!("http://{}", address.unwrap());
        // A full pipe would stop the program.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    fn terminate(&self) {
        let killed = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
    }

    async fn exits(&mut self) -> Option<i32> {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, ended).await.unwrap()
    }
}

async fn healthy(url: &str) {
    let client = Client::new();
    let ready = async {
        while !client
            .get(format!("{url}/health"))
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, ready).await.unwrap();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A request that takes a while with the tiny model.
fn long() -> Value {
    json!({"prompt": "the", "max_tokens": 120, "ignore_eos": true, "stream": true, "temperature": 0})
}

#[tokio::test]
async fn a_front_serves_an_engine_with_keys_and_drains() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "secret\n").unwrap();
    let weights = format!("--weights-dir={}", data("llama").display());
    let engine = Program::start(&[
        &weights,
        "--served-model-name=tiny",
        "--threads=1",
        "--step-tokens=1",
    ]);
    let drain = format!("127.0.0.1:{}", free_port());
    let mut front = Program::start(&[
        &format!("--engine-url={}", engine.url),
        &format!("--api-key-file={}", keys.display()),
        &format!("--drain-address={drain}"),
        "--drain-delay-seconds=1",
    ]);
    healthy(&front.url).await;
    let client = Client::new();
    let post = |path: &str, body: &Value| client.post(format!("{}{path}", front.url)).json(body);
    let chat = json!({"prompt": "hello", "generate_kwargs": {"max_length": 5}});
    assert_eq!(post("/chat", &chat).send().await.unwrap().status(), 401);
    let answer = post("/chat", &chat).bearer_auth("secret").send().await.unwrap();
    assert!(answer.json::<Value>().await.unwrap()["Result"].is_string());
    let messages = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3});
    let answer = post("/v1/chat/completions", &messages)
        .bearer_auth("secret")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["model"], "tiny");
    let metrics = client.get(format!("{}/metrics", front.url)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("vllm:request_success_total") && metrics.contains("kaito_front_requests_total"));

    // The stream begins, and ends although the end of the front is requested.
    let response = post("/v1/completions", &long())
        .bearer_auth("secret")
        .send()
        .await
        .unwrap();
    let mut stream = response.bytes_stream();
    let mut text = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    let drained = tokio::spawn(client.get(format!("http://{drain}/drain")).send());
    while let Some(chunk) = stream.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    assert!(events(&text).len() > 20, "{text}");
    assert_eq!(drained.await.unwrap().unwrap().text().await.unwrap(), "drained");
    assert_eq!(front.exits().await, Some(0));
    assert!(
        client
            .get(format!("{}/health", engine.url))
            .send()
            .await
            .unwrap()
            .status()
            == 200
    );
}

#[tokio::test]
async fn a_signal_lets_streams_finish() {
    let weights = format!("--weights-dir={}", data("llama").display());
    let engine = Program::start(&[&weights, "--threads=1", "--step-tokens=1"]);
    let mut front = Program::start(&[&format!("--engine-url={}", engine.url)]);
    healthy(&front.url).await;
    let client = Client::new();
    let response = client
        .post(format!("{}/v1/completions", front.url))
        .json(&long())
        .send()
        .await
        .unwrap();
    front.terminate();
    let text = response.text().await.unwrap();
    assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    assert_eq!(front.exits().await, Some(0));
}

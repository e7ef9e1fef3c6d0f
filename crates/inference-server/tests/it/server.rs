//! A server in this process, on a port of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use inference_server::{Args, ServerSettings};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than any step of these tests.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the path of test data: the tiny model, adapters.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../model/tests/data")
        .join(name)
}

/// A running server.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) client: Client,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Returns the settings of these flags, and of fixed ones for the rest.
fn settings(flags: &[&str]) -> ServerSettings {
    let dir = format!("--weights-dir={}", data("llama").display());
    let fixed = [
        "inference-server",
        &dir,
        "--bind-address=127.0.0.1",
        "--port=0",
        "--threads=2",
        "--served-model-name=tiny",
    ];
    // A flag must not be repeated, so the flags of a test replace the fixed ones.
    let name = |flag: &str| flag.split('=').next().map(str::to_owned);
    let own: Vec<_> = flags.iter().map(|flag| name(flag)).collect();
    let fixed = fixed.iter().filter(|flag| !own.contains(&name(flag)));
    let args = Args::parse_from(fixed.copied().chain(flags.iter().copied()));
    args.settings().unwrap()
}

impl Server {
    /// Starts a server and waits until it answers.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let server = Self::start_cold(flags).await;
        server.ready().await;
        server
    }

    pub(crate) async fn start_cold(flags: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = settings(flags);
        let listener = inference_server::bind(&settings).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(inference_server::serve(settings, listener, stop.clone()));
        Self {
            url,
            client: Client::new(),
            stop,
            task,
        }
    }

    pub(crate) async fn ready(&self) {
        let ready = async {
            while self.get("/health").await.status() != 200 {
                assert!(!self.task.is_finished(), "the server ended while it was loading");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, ready).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.client
            .post(format!("{}{path}", self.url))
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// Returns status and JSON of a response.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path, body).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Returns the JSON objects of a stream, whose last line must be `[DONE]`.
    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Vec<Value> {
        let response = self.post(path, body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        events(&response.text().await.unwrap())
    }

    /// Returns the value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics/prometheus").await.text().await.unwrap();
        let of_name = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with([' ', '{'])
        };
        let line = text.lines().find(of_name);
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Waits until a metric has a value.
    pub(crate) async fn wait_metric(&self, name: &str, value: f64) {
        let reached = async {
            while (self.metric(name).await - value).abs() > 1e-9 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, reached)
            .await
            .unwrap_or_else(|_| panic!("{name} did not become {value}"));
    }

    /// Stops the server as a signal does.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the end of the server.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(TIMEOUT, self.task).await.unwrap().unwrap()
    }
}

pub(crate) fn events(text: &str) -> Vec<Value> {
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let (last, rest) = lines.split_last().unwrap();
    assert_eq!(*last, "[DONE]");
    rest.iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

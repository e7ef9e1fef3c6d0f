//! A server in this process, on a port of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use inference_server::Args;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Files of the tiny model.
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

pub(crate) fn args(flags: &[&str]) -> Args {
    let dir = format!("--weights-dir={}", data("llama").display());
    let fixed = [
        "inference-server",
        &dir,
        "--bind-address=127.0.0.1",
        "--port=0",
        "--threads=2",
        "--served-model-name=tiny",
    ];
    // A flag must not be repeated: what tests bring themselves replaces ours.
    let name = |flag: &str| flag.split('=').next().map(str::to_owned);
    let own: Vec<_> = flags.iter().map(|flag| name(flag)).collect();
    let fixed = fixed.iter().filter(|flag| !own.contains(&name(flag)));
    Args::parse_from(fixed.copied().chain(flags.iter().copied()))
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
        let args = args(flags);
        let listener = inference_server::bind(&args).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(inference_server::serve(args, listener, stop.clone()));
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
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
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

    /// Status and JSON of a reply.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path, body).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The JSON objects of a stream, whose last line has to be `[DONE]`.
    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Vec<Value> {
        let response = self.post(path, body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        events(&response.text().await.unwrap())
    }

    /// A metric's value.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics/prometheus").await.text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
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
        tokio::time::timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("{name} never was {value}"));
    }

    /// Stops the server as a signal does.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
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

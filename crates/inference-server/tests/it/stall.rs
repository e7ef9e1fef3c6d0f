//! The front before an engine that accepts requests and never answers them, although its health check does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use serde_json::json;

use crate::server::Server;

/// A stand-in for vLLM. Returns its URL and its count of tokens.
async fn hung_engine() -> (String, Arc<AtomicU64>) {
    let tokens = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&tokens);
    let metrics = move || {
        let text = format!(
            "vllm:generation_tokens_total {}\n",
            counted.load(Ordering::SeqCst)
        );
        async move { text }
    };
    let router = Router::new()
        .route("/health", get(async || ""))
        .route("/v1/models", get(async || "{}"))
        .route("/metrics", get(metrics))
        .route("/v1/completions", post(std::future::pending::<String>));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, tokens)
}

#[tokio::test]
async fn an_engine_without_progress_is_not_healthy() {
    let (url, tokens) = hung_engine().await;
    let front = Server::start(&[&format!("--engine-url={url}"), "--stall-seconds=1"]).await;
    let health = async || front.get("/health").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(health().await.status(), 200, "nothing is in flight");

    let body = json!({"prompt": "a", "max_tokens": 9});
    let asked = {
        let request = reqwest::Client::new()
            .post(format!("{}/v1/completions", front.url))
            .json(&body);
        tokio::spawn(request.send())
    };
    // Requests that are not streamed show their progress in the engine's counters only.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        tokens.fetch_add(1, Ordering::SeqCst);
        assert_eq!(health().await.status(), 200);
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // What the engine answers without its model is no progress.
        assert_eq!(front.get("/v1/models").await.status(), 200);
    }
    let answer = health().await;
    assert_eq!(answer.status(), 500);
    assert_eq!(
        answer.json::<serde_json::Value>().await.unwrap()["status"],
        "Stalled"
    );
    assert_eq!(
        front.get("/live").await.status(),
        200,
        "the front itself is not restarted"
    );

    // A client that gives up leaves nothing in flight.
    asked.abort();
    let healthy = async {
        while health().await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), healthy)
        .await
        .unwrap();
}

//! The proxy, before another server of ours.

use serde_json::{Value, json};

use crate::server::Server;

#[tokio::test]
async fn all_requests_are_forwarded() {
    let engine = Server::start(&[]).await;
    let url = format!("--engine-url={}", engine.url);
    let proxy = Server::start(&[&url]).await;
    let body = json!({"prompt": "the quick", "temperature": 0, "max_tokens": 6});
    let (status, reply) = proxy.ask("/v1/completions", &body).await;
    assert_eq!(status, 200);
    let text = reply["choices"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(
        text,
        engine.ask("/v1/completions", &body).await.1["choices"][0]["text"]
    );
    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    let chunks = proxy.stream("/v1/completions", &streamed).await;
    assert_eq!(
        chunks
            .iter()
            .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap())
            .collect::<String>(),
        text
    );

    let kwargs = json!({"do_sample": false, "max_new_tokens": 6, "top_k": 0});
    let (_, reply) = proxy
        .ask(
            "/chat",
            &json!({"prompt": "the quick", "generate_kwargs": kwargs}),
        )
        .await;
    assert_eq!(reply["Result"], format!("the quick{text}"));
    let (status, reply) = proxy
        .ask("/v1/completions", &json!({"prompt": "a", "n": 0}))
        .await;
    assert_eq!((status, &reply["error"]["param"]), (400, &json!("n")));
    let (status, reply) = proxy.ask("/chat", &json!({})).await;
    assert!(
        status == 400 && reply["detail"].as_str().unwrap().contains("prompt"),
        "{reply}"
    );
    let models: Value = proxy.get("/v1/models").await.json().await.unwrap();
    assert_eq!(models["data"][0]["id"], "tiny");
    assert!(
        proxy
            .get("/metrics/prometheus")
            .await
            .text()
            .await
            .unwrap()
            .contains("vllm:num_requests_running")
    );
    assert!(proxy.get("/metrics").await.json::<Value>().await.unwrap()["cpu_info"].is_object());
}

#[tokio::test]
async fn an_unreachable_engine_is_reported() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("--engine-url=http://{}", listener.local_addr().unwrap());
    drop(listener);
    let proxy = Server::start_cold(&[&url]).await;
    assert_eq!(proxy.get("/health").await.status(), 500);
    let (status, reply) = proxy.ask("/v1/completions", &json!({"prompt": "a"})).await;
    assert_eq!(
        (status, reply["error"]["code"].as_str()),
        (503, Some("not_ready"))
    );
}

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
    let turn =
        json!({"messages": [{"role": "user", "content": "the quick"}], "temperature": 0, "max_tokens": 6});
    let answer = engine.ask("/v1/chat/completions", &turn).await.1;
    assert_eq!(reply["Result"], answer["choices"][0]["message"]["content"]);
    let full = json!({"prompt": "the quick", "return_full_text": true, "generate_kwargs": kwargs});
    assert_eq!(
        proxy.ask("/chat", &full).await.1["Result"],
        format!("the quick{text}")
    );
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
    assert_eq!(proxy.get("/v1/models/tiny").await.status(), 200);
    let metrics = proxy.get("/metrics").await.text().await.unwrap();
    for line in [
        "vllm:num_requests_running{model_name=\"tiny\",engine=\"0\"} 0.0",
        "kaito_front_requests_total{status=\"2xx\"} 6",
        "kaito_front_requests_total{status=\"4xx\"} 2",
        "kaito_front_requests_in_flight 0.0",
    ] {
        assert!(
            metrics.lines().any(|other| other == line),
            "{line} is missing in {metrics}"
        );
    }
    let json = proxy
        .client
        .get(format!("{}/metrics", proxy.url))
        .header("accept", "application/json");
    assert!(json.send().await.unwrap().json::<Value>().await.unwrap()["cpu_info"].is_object());
}

/// Answers every request of every connection with the same response, and counts them.
async fn stub(response: &'static str) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = requests.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(response.as_bytes()).await;
        }
    });
    (url, requests)
}

#[tokio::test]
async fn other_paths_stay_closed_and_redirects_are_not_followed() {
    let (target, followed) = stub("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let redirect = format!(
        "HTTP/1.1 307 x\r\nLocation: {target}/v1/models\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let (engine, asked) = stub(redirect.leak()).await;
    let proxy = Server::start_cold(&[&format!("--engine-url={engine}")]).await;
    for path in [
        "/v1/load_lora_adapter",
        "/reset_prefix_cache",
        "/sleep",
        "/docs",
        "/drain",
    ] {
        let (status, reply) = proxy.ask(path, &json!({})).await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (404, &json!("unknown_url")),
            "{path}"
        );
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let response = client
        .get(format!("{}/v1/models", proxy.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(followed.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    // This engine accepts connections and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("--engine-url=http://{}", listener.local_addr().unwrap());
    let proxy = Server::start_cold(&[&url, "--max-in-flight=1"]).await;
    let first = proxy
        .client
        .post(format!("{}/v1/completions", proxy.url))
        .json(&json!({"prompt": "a"}));
    let first = tokio::spawn(first.send());
    proxy.wait_metric("kaito_front_requests_in_flight", 1.0).await;
    let second = proxy.post("/v1/completions", &json!({"prompt": "a"})).await;
    assert_eq!(
        (
            second.status().as_u16(),
            second.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "1")
    );
    first.abort();
    proxy.wait_metric("kaito_front_requests_in_flight", 0.0).await;
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

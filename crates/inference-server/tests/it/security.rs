//! API keys and TLS over real sockets, also while their files change.

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use crate::server::{Server, TIMEOUT};

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Returns status and body of a request with a key.
async fn with_key(server: &Server, path: &str, key: Option<&str>) -> (u16, Value) {
    let mut request = server.client.get(format!("{}{path}", server.url));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default(),
    )
}

/// Waits until the condition holds.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let reached = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, reached)
        .await
        .unwrap_or_else(|_| panic!("timed out: {what}"));
}

#[tokio::test]
async fn a_key_is_needed_and_can_be_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    std::fs::write(&file, "first\nsecond\n").unwrap();
    let server = Server::start(&[&flag("api-key-file", &file)]).await;
    for key in ["first", "second"] {
        assert_eq!(with_key(&server, "/v1/models", Some(key)).await.0, 200);
    }
    for (key, says) in [(Some("third"), "Incorrect"), (None, "didn't provide")] {
        let (status, reply) = with_key(&server, "/v1/models", key).await;
        assert_eq!(status, 401);
        assert_eq!(
            (&reply["error"]["code"], &reply["error"]["type"]),
            (&json!("invalid_api_key"), &json!("invalid_request_error"))
        );
        let message = reply["error"]["message"].as_str().unwrap();
        assert!(message.contains(says) && !message.contains("third"), "{reply}");
    }
    let refused = server.get("/v1/models").await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    for closed in ["/chat", "/v1/completions", "/v1/chat/completions", "/tokenize"] {
        assert_eq!(server.post(closed, &json!({})).await.status(), 401, "{closed}");
    }
    for open in [
        "/",
        "/health",
        "/healthz",
        "/metrics",
        "/metrics/prometheus",
        "/ui",
    ] {
        assert_eq!(server.get(open).await.status(), 200, "{open}");
    }

    std::fs::write(&file, "third\n").unwrap();
    until("the new key is accepted", async || {
        with_key(&server, "/v1/models", Some("third")).await.0 == 200
    })
    .await;
    assert_eq!(with_key(&server, "/v1/models", Some("first")).await.0, 401);
    // An empty file of keys refuses every request.
    std::fs::write(&file, "").unwrap();
    until("no key is accepted", async || {
        with_key(&server, "/v1/models", Some("third")).await.0 == 401
    })
    .await;
    assert_eq!(with_key(&server, "/v1/models", None).await.0, 401);
}

#[tokio::test]
async fn the_engine_behind_the_proxy_gets_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    std::fs::write(&file, "secret").unwrap();
    let engine = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--engine-url=http://{}", engine.local_addr().unwrap());
    let echo = axum::Router::new().fallback(async |headers: axum::http::HeaderMap| {
        format!("{}", headers.contains_key("authorization"))
    });
    tokio::spawn(async { axum::serve(engine, echo).await });
    let proxy = Server::start_cold(&[&url, &flag("api-key-file", &file)]).await;
    assert_eq!(
        with_key(&proxy, "/v1/models", Some("secret")).await,
        (200, json!(false))
    );
    assert_eq!(with_key(&proxy, "/v1/models", None).await.0, 401);
}

#[tokio::test]
async fn unusable_files_end_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let (empty, missing) = (dir.path().join("empty"), dir.path().join("missing"));
    std::fs::write(&empty, "# none\n").unwrap();
    for (flags, says) in [
        (vec![flag("api-key-file", &empty)], "holds no key"),
        (vec![flag("api-key-file", &missing)], "missing: "),
        (
            vec![flag("tls-cert-file", &empty), flag("tls-key-file", &empty)],
            "no certificate",
        ),
    ] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let error = Server::start_cold(&flags).await.ended().await.unwrap_err();
        assert!(format!("{error:#}").contains(says), "{error:#}");
    }
}

/// Writes a new certificate and returns a client that trusts it alone.
fn certificate(dir: &Path) -> Client {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let root = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    Client::builder()
        .tls_certs_only([root])
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

#[tokio::test]
async fn connections_are_encrypted_with_the_latest_certificate() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let old = certificate(dir.path());
    let flags = [
        flag("tls-cert-file", &dir.path().join("tls.crt")),
        flag("tls-key-file", &dir.path().join("tls.key")),
    ];
    let server = Server::start_cold(&[&flags[0], &flags[1]]).await;
    let url = server.url.replace("http://", "https://");
    let status = async |client: &Client| {
        let response = client.get(format!("{url}/health")).send().await.ok()?;
        Some(response.status().as_u16())
    };
    // Neither a silent client nor plain text delays other clients.
    let _silent = tokio::net::TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .unwrap();
    assert!(
        Client::new()
            .get(format!("{}/health", server.url))
            .send()
            .await
            .is_err()
    );
    until("ready", async || status(&old).await == Some(200)).await;
    let body = json!({"prompt": "the quick", "max_tokens": 3, "stream": true});
    let streamed = old
        .post(format!("{url}/v1/completions"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert!(!crate::server::events(&streamed.text().await.unwrap()).is_empty());

    // Half of a pair changes nothing.
    std::fs::write(dir.path().join("tls.crt"), "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&old).await, Some(200));
    let new = certificate(dir.path());
    until("the new certificate is shown", async || {
        status(&new).await == Some(200)
    })
    .await;
    assert_eq!(status(&old).await, None);
    server.stop();
    server.ended().await.unwrap();
}

//! HTTP connections over real sockets.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serve::{Connections, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn slow_headers_close_a_connection_and_open_requests_finish() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits {
        connections: 8,
        per_peer: None,
        handshake: Duration::from_secs(10),
    };
    let connections = Connections::accept(listener, None, limits, || ());
    let stop = CancellationToken::new();
    let router = Router::new().route(
        "/",
        get(|| async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            "done"
        }),
    );
    let server = tokio::spawn(serve::http(
        connections,
        router,
        Duration::from_millis(300),
        stop.clone(),
    ));

    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("done"));

    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.cancel();
    let mut answer = Vec::new();
    open.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.starts_with("HTTP/1.1 200") && text.ends_with("done"),
        "{text}"
    );
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

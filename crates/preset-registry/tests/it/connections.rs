//! Many connections over real sockets. Each address of loopback is another peer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use preset_registry::{ConnectionTimes, ServerOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::running::{Running, SERVICE};

/// The preface of HTTP/2 and empty settings: a client that then does nothing.
const SILENT: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const LONG: Duration = Duration::from_secs(600);

async fn connect(peer: u8, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 1, peer), 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    stream.write_all(SILENT).await.unwrap();
    stream
}

/// Reports whether the server closes the connection within a second.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let reading = async {
        let mut bytes = [0; 1024];
        while !matches!(stream.read(&mut bytes).await, Ok(0) | Err(_)) {}
    };
    tokio::time::timeout(Duration::from_secs(1), reading)
        .await
        .is_ok()
}

fn options(times: ConnectionTimes) -> ServerOptions {
    ServerOptions {
        connection_times: times,
        ..ServerOptions::default()
    }
}

const PATIENT: ConnectionTimes = ConnectionTimes {
    first_request: LONG,
    idle: LONG,
};

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_one_peer_starve_nobody() {
    let running = Running::with(options(PATIENT)).await;
    let mut open = Vec::new();
    for _ in 0..1100 {
        // A refused connection may fail while the preface is written.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 1, 1), 0).into()).unwrap();
        if let Ok(mut stream) = socket.connect(running.address).await {
            let _ = stream.write_all(SILENT).await;
            open.push(stream);
        }
        // Keep the file descriptors few: the server has closed all but its share.
        if open.len() > 200 {
            open.drain(70..100);
        }
    }
    assert_eq!(running.health(SERVICE).await, ServingStatus::Serving);
    assert_eq!(running.get("phi-4").await.unwrap().name, "phi-4");
    let mut last = open.pop().unwrap();
    assert!(is_closed(&mut last).await, "beyond the share of its peer");
    assert!(!is_closed(&mut open[0]).await, "within it");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_many_peers_make_room() {
    let running = Running::with(ServerOptions {
        max_connections: 40,
        max_connections_per_peer: 8,
        ..options(PATIENT)
    })
    .await;
    assert_eq!(running.get("phi-4").await.unwrap().name, "phi-4");
    let mut open = Vec::new();
    for round in 0..8 {
        for peer in 1..=20 {
            open.push(connect(peer, running.address).await);
        }
        let status = tokio::time::timeout(Duration::from_secs(5), running.health(SERVICE)).await;
        assert_eq!(status.unwrap(), ServingStatus::Serving, "round {round}");
    }
    // The connection of the admitted client was never closed, and a new peer gets in.
    assert_eq!(running.get("falcon-7b").await.unwrap().name, "falcon-7b");
    let mut newcomer = connect(99, running.address).await;
    assert!(!is_closed(&mut newcomer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_requests_ends() {
    let times = ConnectionTimes {
        first_request: Duration::from_millis(300),
        idle: Duration::from_millis(600),
    };
    let running = Running::with(options(times)).await;
    let mut silent = connect(1, running.address).await;
    assert!(is_closed(&mut silent).await);
    // A stream keeps its connection open.
    let mut watch = running
        .presets()
        .watch_presets(preset_registry_api::v1::WatchPresetsRequest::default())
        .await
        .unwrap()
        .into_inner();
    while let Ok(message) = tokio::time::timeout(Duration::from_millis(1500), watch.message()).await {
        assert!(message.unwrap().is_some(), "the stream ended");
    }
    drop(watch);
    // The client connects again by itself.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(running.get("phi-4").await.unwrap().name, "phi-4");
}

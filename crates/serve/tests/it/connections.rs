//! Connections over real sockets.

use std::time::Duration;

use serve::{Connections, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn silent_clients_are_dropped_and_block_no_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits {
        connections: 2,
        per_peer: None,
        handshake: Duration::from_millis(300),
    };
    let (failure, mut failures) = tokio::sync::mpsc::unbounded_channel();
    let mut connections = Connections::accept(listener, None, limits, move || {
        let _ = failure.send(());
    });
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut loud = TcpStream::connect(address).await.unwrap();
    loud.write_all(b"hello").await.unwrap();
    let mut accepted = connections.next().await;
    assert_eq!(accepted.peer, loud.local_addr().unwrap());
    let mut text = [0; 5];
    accepted.io.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"hello");
    failures.recv().await.unwrap();
    assert_eq!(silent.read(&mut text).await.unwrap(), 0);

    // Two are open at most.
    let _second = {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"x").await.unwrap();
        (connections.next().await, client)
    };
    let mut third = TcpStream::connect(address).await.unwrap();
    third.write_all(b"x").await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), connections.next()).await;
    assert!(waiting.is_err());
    drop(accepted);
    connections.next().await;
}

//! A proxy that breaks connections, between the program and a server.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The fault of one connection.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It breaks after so many bytes towards the server.
    CutUp(u64),
    /// It breaks after so many bytes from the server.
    CutDown(u64),
    /// It is answered with this status.
    Answer(&'static str),
}

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Proxy {
    /// The first connections get these faults; later ones none.
    pub(crate) async fn start(to: SocketAddr, faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Mutex::new(faults.iter().cloned().collect::<VecDeque<_>>()));
        let queue = Arc::clone(&faults);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let fault = queue.lock().unwrap().pop_front();
                tokio::spawn(connection(client, to, fault));
            }
        });
        Self { address, faults }
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }
}

async fn connection(client: TcpStream, to: SocketAddr, fault: Option<Fault>) {
    let mut client = client;
    if let Some(Fault::Answer(status)) = fault {
        let mut request = [0; 4096];
        let _ = client.read(&mut request).await;
        let answer =
            format!("HTTP/1.1 {status}\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    }
    let server = TcpStream::connect(to).await.unwrap();
    let (up, down) = match fault {
        Some(Fault::CutUp(bytes)) => (bytes, u64::MAX),
        Some(Fault::CutDown(bytes)) => (u64::MAX, bytes),
        _ => (u64::MAX, u64::MAX),
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // When one direction ends, the other is dropped with it.
    tokio::select! {
        () = pass(&mut from_client, &mut to_server, up) => {}
        () = pass(&mut from_server, &mut to_client, down) => {}
    }
}

async fn pass(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), limit: u64) {
    let _ = tokio::io::copy(&mut from.take(limit), to).await;
    let _ = to.flush().await;
}

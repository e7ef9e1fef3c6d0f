//! Connections with TLS, for axum: accepted and greeted side by side, so that a client that says nothing delays nobody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on encryption.
const GREETING: Duration = Duration::from_secs(10);
/// Clients that are being greeted at a time; more wait unaccepted.
const GREETED: usize = 256;
/// Pause after the system refused to accept, as it does when no file descriptors are left.
const PAUSE: Duration = Duration::from_millis(100);

/// What the next connection is encrypted with.
pub(crate) type Encryption = watch::Receiver<Arc<ServerConfig>>;

/// A listener whose connections are encrypted.
#[derive(Debug)]
pub(crate) struct Encrypted {
    address: io::Result<SocketAddr>,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Encrypted {
    /// Begins to accept; ends with the value.
    pub(crate) fn new(listener: TcpListener, encryption: Encryption) -> Self {
        let (greeted, ready) = mpsc::channel(16);
        let address = listener.local_addr();
        tokio::spawn(accept(listener, encryption, greeted));
        Self { address, ready }
    }
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task ends after this value only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}

async fn accept(
    listener: TcpListener,
    encryption: Encryption,
    greeted: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(GREETED));
    // Dropped with this task, which ends those who are still being greeted.
    let mut greetings = JoinSet::new();
    loop {
        while greetings.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            Ok::<_, io::Error>((listener.accept().await?, place))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = greeted.closed() => return,
        };
        match accepted {
            Ok(((socket, address), place)) => {
                let acceptor = TlsAcceptor::from(Arc::clone(&encryption.borrow()));
                let greeted = greeted.clone();
                greetings.spawn(async move {
                    let greeting = tokio::time::timeout(GREETING, acceptor.accept(socket)).await;
                    drop(place);
                    match greeting {
                        Ok(Ok(stream)) => drop(greeted.send((stream, address)).await),
                        Ok(Err(error)) => tracing::debug!(%error, "a connection came to nothing"),
                        Err(_) => tracing::debug!("a client did not agree on encryption in time"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

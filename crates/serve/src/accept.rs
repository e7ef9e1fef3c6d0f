//! A listener's connections: accepted, counted and, if wanted, encrypted.
//!
//! TLS handshakes run concurrently, and a client that sends nothing is dropped after a while, so a stalled client does not
//! block others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// Pause after the system refused to accept, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The TLS configuration of the next connection; `None` for plain text.
pub type Encryption = Option<watch::Receiver<Arc<ServerConfig>>>;

/// The bytes of a connection, plain or encrypted.
pub type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most [`Accepted`] values that exist at a time, with those in a handshake; further clients wait unaccepted.
    pub connections: usize,
    /// Time for the handshake, or for the first byte of plain text.
    pub handshake: Duration,
}

/// A connection that is ready for a protocol above TLS.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes.
    pub io: Io,
    /// The address of the client.
    pub peer: SocketAddr,
    /// Counts in [`Limits::connections`] until it is dropped.
    pub permit: OwnedSemaphorePermit,
}

/// The connections of a listener, for axum and others. Accepting ends when it is dropped.
#[derive(Debug)]
pub struct Connections {
    address: SocketAddr,
    ready: mpsc::Receiver<Accepted>,
}

impl Connections {
    /// Begins to accept. `on_failure` is called for each client that sent nothing or failed the handshake.
    ///
    /// # Errors
    /// The listener has no local address.
    pub fn accept(
        listener: TcpListener,
        encryption: Encryption,
        limits: Limits,
        on_failure: impl Fn() + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, ready) = mpsc::channel(16);
        let address = listener.local_addr()?;
        tokio::spawn(accept(listener, encryption, limits, sender, on_failure));
        Ok(Self { address, ready })
    }

    /// The next connection. Waits forever if the runtime shuts down.
    pub async fn next(&mut self) -> Accepted {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The accepting task outlives this value.
            None => std::future::pending().await,
        }
    }
}

impl Listener for Connections {
    type Io = Io;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Io, SocketAddr) {
        let Accepted { io, peer, permit } = self.next().await;
        // axum counts nothing: the limit is one of handshakes here.
        drop(permit);
        (io, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept(
    listener: TcpListener,
    encryption: Encryption,
    limits: Limits,
    ready: mpsc::Sender<Accepted>,
    on_failure: impl Fn() + Clone + Send + 'static,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    // Dropped with this task, which ends the handshakes.
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = accept_one(&listener, &permits) => accepted,
            () = ready.closed() => return,
        };
        let (socket, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "failed to accept connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let config = encryption.as_ref().map(|config| Arc::clone(&config.borrow()));
        let (ready, on_failure) = (ready.clone(), on_failure.clone());
        handshakes.spawn(async move {
            let handshake = tokio::time::timeout(limits.handshake, handshake(socket, config)).await;
            match handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(io) => drop(ready.send(Accepted { io, peer, permit }).await),
                Err(error) => {
                    tracing::debug!(%error, %peer, "failed to establish connection");
                    on_failure();
                }
            }
        });
    }
}

async fn accept_one(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (socket, peer) = listener.accept().await?;
    socket.set_nodelay(true)?;
    Ok((socket, peer, permit))
}

/// Waits for the client's first bytes, and encrypts if wanted.
async fn handshake(socket: TcpStream, config: Option<Arc<ServerConfig>>) -> io::Result<Io> {
    match config {
        Some(config) => {
            let stream = TlsAcceptor::from(config).accept(socket).await?;
            Ok(Io::Right(Box::new(stream)))
        }
        None if socket.peek(&mut [0]).await? == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Ok(Io::Left(socket)),
    }
}

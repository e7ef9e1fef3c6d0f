//! A listener's connections: accepted, counted and, if wanted, encrypted.
//!
//! TLS handshakes run concurrently, and a client that sends nothing is dropped after a while, so a stalled client does not
//! block others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::peers::{PeerPermit, PeerTable};

/// Pause after the system refused to accept, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The TLS configuration of the next connection; `None` for plain text.
pub type Encryption = Option<watch::Receiver<Arc<ServerConfig>>>;

/// The bytes of a connection, plain or encrypted.
pub type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most [`Accepted`] values that exist at a time, with those in a handshake. Without `per_peer`, further clients wait
    /// unaccepted.
    pub connections: usize,
    /// Most connections of one address. If set, further ones of it are closed at once, and at the total bound the address
    /// with the most connections loses one to another.
    pub per_peer: Option<usize>,
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
    /// Counts in [`Limits`] until it is dropped.
    pub permit: Permit,
}

/// The right to one connection.
#[derive(Debug)]
pub enum Permit {
    /// One of a number that all clients share.
    Shared(OwnedSemaphorePermit),
    /// One of a client's share.
    Peer(PeerPermit),
}

/// The connections of a listener. Accepting ends when it is dropped.
#[derive(Debug)]
pub struct Connections {
    ready: mpsc::Receiver<Accepted>,
}

impl Connections {
    /// Begins to accept. `on_failure` is called for each client that sent nothing or failed the handshake.
    #[must_use]
    pub fn accept(
        listener: TcpListener,
        encryption: Encryption,
        limits: Limits,
        on_failure: impl Fn() + Clone + Send + 'static,
    ) -> Self {
        let (sender, ready) = mpsc::channel(16);
        tokio::spawn(accept(listener, encryption, limits, sender, on_failure));
        Self { ready }
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

async fn accept(
    listener: TcpListener,
    encryption: Encryption,
    limits: Limits,
    ready: mpsc::Sender<Accepted>,
    on_failure: impl Fn() + Clone + Send + 'static,
) {
    let slots = Slots::new(limits);
    // Dropped with this task, which ends the handshakes.
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = accept_one(&listener, &slots) => accepted,
            () = ready.closed() => return,
        };
        let (socket, peer, permit) = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(%error, "failed to accept connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let config = encryption.as_ref().map(|config| Arc::clone(&config.borrow()));
        let (ready, on_failure) = (ready.clone(), on_failure.clone());
        handshakes.spawn(async move {
            let handshake = tokio::select! {
                done = tokio::time::timeout(limits.handshake, handshake(socket, config)) => {
                    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                }
                () = evicted(&permit) => Err(io::ErrorKind::ConnectionAborted.into()),
            };
            match handshake {
                Ok(io) => drop(ready.send(Accepted { io, peer, permit }).await),
                Err(error) => {
                    tracing::debug!(%error, %peer, "failed to establish connection");
                    on_failure();
                }
            }
        });
    }
}

/// The bounds on open connections.
enum Slots {
    Shared(Arc<Semaphore>),
    Peers(PeerTable),
}

impl Slots {
    fn new(limits: Limits) -> Self {
        match limits.per_peer {
            None => Self::Shared(Arc::new(Semaphore::new(limits.connections))),
            Some(per_peer) => Self::Peers(PeerTable::new(limits.connections, per_peer)),
        }
    }
}

/// Accepts a connection; `None` if it is closed because its peer has its share.
async fn accept_one(
    listener: &TcpListener,
    slots: &Slots,
) -> io::Result<Option<(TcpStream, SocketAddr, Permit)>> {
    let (socket, peer, permit) = match slots {
        Slots::Shared(permits) => {
            let permit = Arc::clone(permits)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let (socket, peer) = listener.accept().await?;
            (socket, peer, Permit::Shared(permit))
        }
        Slots::Peers(table) => {
            let (socket, peer) = listener.accept().await?;
            let Some(permit) = table.admit(peer.ip()) else {
                tracing::debug!(%peer, "closing connection beyond the share of its peer");
                return Ok(None);
            };
            (socket, peer, Permit::Peer(permit))
        }
    };
    socket.set_nodelay(true)?;
    Ok(Some((socket, peer, permit)))
}

/// Waits until the connection must make room for another peer's.
pub(crate) async fn evicted(permit: &Permit) {
    match permit {
        Permit::Shared(_) => std::future::pending().await,
        Permit::Peer(permit) => permit.evicted().cancelled_owned().await,
    }
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

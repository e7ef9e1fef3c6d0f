//! From a listener to connections that HTTP/2 is spoken on: accepted, counted, and encrypted where that is wanted.
//!
//! A client that connects and says nothing holds one place for ten seconds and delays nobody.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use telemetry::{Counter, Metrics};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a client may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept, as it does when no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Which certificate the next connection gets; `None` is plain text.
pub(crate) type Encryption = Option<watch::Receiver<Arc<ServerConfig>>>;

/// Accepts until the stream is dropped; no more than `limit` connections are open at once, more wait unaccepted.
pub(crate) fn connections(
    listener: TcpListener,
    encryption: Encryption,
    limit: usize,
    metrics: &Metrics,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(16);
    let failures = metrics.counter(
        "preset_registry_tls_handshake_failures",
        "Connections that agreed on no encryption",
        [],
    );
    tokio::spawn(accept(listener, encryption, limit, ready, failures));
    ReceiverStream::new(connections)
}

async fn accept(
    listener: TcpListener,
    encryption: Encryption,
    limit: usize,
    ready: mpsc::Sender<io::Result<Connection>>,
    failures: Counter<0>,
) {
    let places = Arc::new(Semaphore::new(limit));
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            Ok::<_, io::Error>((socket, place))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = ready.closed() => return,
        };
        match (accepted, &encryption) {
            (Ok((socket, place)), None) => {
                let _ = ready.send(Ok(Connection::new(socket, place))).await;
            }
            (Ok((socket, place)), Some(config)) => {
                let config = Arc::clone(&config.borrow());
                let (ready, failures) = (ready.clone(), failures.clone());
                handshakes.spawn(async move {
                    match encrypt(socket, config).await {
                        Ok(stream) => drop(ready.send(Ok(Connection::encrypted(stream, place))).await),
                        Err(error) => {
                            failures.inc([]);
                            tracing::debug!(%error, "no encryption was agreed on");
                        }
                    }
                });
            }
            (Err(error), _) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

async fn encrypt(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream> {
    tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(socket))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// An open connection; its place is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    io: Io,
    info: TcpConnectInfo,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Encrypted(Box<TlsStream>),
}

impl Connection {
    fn new(socket: TcpStream, place: OwnedSemaphorePermit) -> Self {
        Self {
            info: socket.connect_info(),
            io: Io::Plain(socket),
            _place: place,
        }
    }

    fn encrypted(stream: TlsStream, place: OwnedSemaphorePermit) -> Self {
        Self {
            info: stream.get_ref().0.connect_info(),
            io: Io::Encrypted(Box::new(stream)),
            _place: place,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Io::Encrypted(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Io::Encrypted(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Encrypted(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Encrypted(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::Encrypted(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Encrypted(io) => io.is_write_vectored(),
        }
    }
}

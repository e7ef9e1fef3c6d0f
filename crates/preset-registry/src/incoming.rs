//! From a listener to connections that HTTP/2 is spoken on: accepted, counted, and encrypted where that is wanted.
//!
//! A client that connects and says nothing is let go after a while and delays nobody meanwhile.

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

/// Pause after the system refused to accept, as it does when no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Which certificate the next connection gets; `None` is plain text.
pub(crate) type Encryption = Option<watch::Receiver<Arc<ServerConfig>>>;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Open at once; more wait unaccepted.
    pub(crate) open: usize,
    /// How long a client may take to say something, and to agree on encryption.
    pub(crate) greeting: Duration,
}

/// Accepts until the stream is dropped.
pub(crate) fn connections(
    listener: TcpListener,
    encryption: Encryption,
    limits: Limits,
    metrics: &Metrics,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(16);
    let failures = metrics.counter(
        "preset_registry_handshake_failures",
        "Connections whose client said nothing or agreed on no encryption",
        [],
    );
    tokio::spawn(accept(listener, encryption, limits, ready, failures));
    ReceiverStream::new(connections)
}

async fn accept(
    listener: TcpListener,
    encryption: Encryption,
    limits: Limits,
    ready: mpsc::Sender<io::Result<Connection>>,
    failures: Counter<0>,
) {
    let places = Arc::new(Semaphore::new(limits.open));
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
        match accepted {
            Ok((socket, place)) => {
                let config = encryption.as_ref().map(|config| Arc::clone(&config.borrow()));
                let (ready, failures) = (ready.clone(), failures.clone());
                handshakes.spawn(async move {
                    match tokio::time::timeout(limits.greeting, greet(socket, config)).await {
                        Ok(Ok(io)) => drop(ready.send(Ok(Connection::new(io, place))).await),
                        Ok(Err(error)) => failed(&failures, &error),
                        Err(_) => failed(&failures, &io::ErrorKind::TimedOut.into()),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn failed(failures: &Counter<0>, error: &io::Error) {
    failures.inc([]);
    tracing::debug!(%error, "a connection came to nothing");
}

type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// Waits until the client says something, and encrypts if that is wanted.
async fn greet(socket: TcpStream, config: Option<Arc<ServerConfig>>) -> io::Result<Io> {
    match config {
        Some(config) => {
            let stream = TlsAcceptor::from(config).accept(socket).await?;
            Ok(Io::Encrypted(Box::new(stream)))
        }
        None if socket.peek(&mut [0]).await? == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Ok(Io::Plain(socket)),
    }
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
    fn new(io: Io, place: OwnedSemaphorePermit) -> Self {
        let info = match &io {
            Io::Plain(socket) => socket.connect_info(),
            Io::Encrypted(stream) => stream.get_ref().0.connect_info(),
        };
        Self {
            io,
            info,
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

//! Accepted connections, as the gRPC server takes them. [`serve::Connections`] does the accepting.
//!
//! A connection closes itself if no caller is admitted on it in time, or if it is idle for long. It also closes to make room
//! for another peer's.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use serve::{Accepted, Connections, Io, Permit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

/// Times after which a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionTimes {
    /// Time within which a caller must be admitted.
    pub first_request: Duration,
    /// Time without an open request.
    pub idle: Duration,
}

impl Default for ConnectionTimes {
    fn default() -> Self {
        Self {
            first_request: Duration::from_secs(30),
            idle: Duration::from_secs(5 * 60),
        }
    }
}

/// An open connection. It counts against the limits of connections until it is dropped.
pub(crate) struct Connection {
    io: Io,
    info: ConnectionInfo,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Pin<Box<Sleep>>,
}

/// The state of a connection that its requests share.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionInfo(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    peer: IpAddr,
    permit: Permit,
    times: ConnectionTimes,
    activity: Mutex<Activity>,
}

#[derive(Debug)]
struct Activity {
    /// A caller was admitted.
    admitted: bool,
    open_requests: usize,
    /// The opening of the connection, or the end of the last request.
    since: Instant,
}

/// An open request of a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest(ConnectionInfo);

impl ConnectionInfo {
    /// Returns the address of the client.
    pub(crate) fn peer(&self) -> IpAddr {
        self.0.peer
    }

    /// Begins a request of an admitted caller.
    pub(crate) fn begin(self) -> OpenRequest {
        let mut activity = self.activity();
        activity.open_requests += 1;
        let first = !std::mem::replace(&mut activity.admitted, true);
        drop(activity);
        if first && let Permit::Peer(permit) = &self.0.permit {
            permit.trust();
        }
        OpenRequest(self)
    }

    /// Returns the time at which the connection must close, as things stand.
    fn end(&self, now: Instant) -> Instant {
        let activity = self.activity();
        if !activity.admitted {
            activity.since + self.0.times.first_request
        } else if activity.open_requests > 0 {
            now + self.0.times.idle
        } else {
            activity.since + self.0.times.idle
        }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.open_requests -= 1;
        activity.since = Instant::now();
    }
}

impl Connection {
    fn new(accepted: Accepted, times: ConnectionTimes) -> Self {
        let Accepted { io, peer, permit } = accepted;
        let evicted = match &permit {
            Permit::Peer(permit) => permit.evicted(),
            Permit::Shared(_) => tokio_util::sync::CancellationToken::new(),
        };
        let now = Instant::now();
        Self {
            io,
            info: ConnectionInfo(Arc::new(ConnectionState {
                peer: peer.ip(),
                permit,
                times,
                activity: Mutex::new(Activity {
                    admitted: false,
                    open_requests: 0,
                    since: now,
                }),
            })),
            evicted: Box::pin(evicted.cancelled_owned()),
            timer: Box::pin(tokio::time::sleep_until(now + times.first_request)),
        }
    }

    /// Returns the reason to close the connection. An open connection is always being read, so this is polled in time.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::ErrorKind> {
        if self.evicted.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::ErrorKind::ConnectionAborted);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let end = self.info.end(now);
            if end <= now {
                return Poll::Ready(io::ErrorKind::TimedOut);
            }
            self.timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

/// Turns accepted connections into a stream without end.
pub(crate) fn stream(
    connections: Connections,
    times: ConnectionTimes,
) -> impl Stream<Item = io::Result<Connection>> {
    futures::stream::unfold((connections, times), async |(mut connections, times)| {
        let connection = Connection::new(connections.next().await, times);
        Some((Ok(connection), (connections, times)))
    })
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(kind) = self.poll_end(cx) {
            return Poll::Ready(Err(kind.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

//! HTTP/1.1 over the connections of a listener.
//!
//! `axum::serve` sets no timer, so it never closes a connection whose client sends its headers slowly or not at all. It also
//! releases the permit of a connection at once. This loop does both.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accept::{Accepted, Connections, evicted};

/// Serves a router until `stop`, and then until all open requests are answered.
///
/// `headers` is the time for the headers of a request, also for those of the next one on an open connection.
pub async fn http(mut connections: Connections, router: Router, headers: Duration, stop: CancellationToken) {
    // Dropped with this future, which closes what is open.
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = connections.next() => accepted,
            () = stop.cancelled() => break,
        };
        open.spawn(serve_one(accepted, router.clone(), headers, stop.clone()));
    }
    drop(connections);
    while open.join_next().await.is_some() {}
}

async fn serve_one(accepted: Accepted, router: Router, headers: Duration, stop: CancellationToken) {
    let Accepted { io, peer, permit } = accepted;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
        () = evicted(&permit) => return,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "connection failed");
    }
}

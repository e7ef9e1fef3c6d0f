//! The stream of one subscriber: the whole catalog, then its changes.
//!
//! A subscriber is only a position in the history. A message is built when the client can receive it. So a client that does
//! not read costs a few hundred bytes, and later receives a new snapshot.

use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use preset_registry_api::v1;
use preset_registry_api::v1::watch_presets_response::Event;
use prost::Message as _;
use telemetry::{Counter, Gauge, Metrics};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::call::Call;
use crate::callers::Caller;
use crate::catalog_store::CatalogRevision;

/// Size at which a chunk of a snapshot ends.
const CHUNK_BYTES: usize = 64 << 10;

/// The number of subscribers, and metrics of their messages.
#[derive(Debug, Clone)]
pub(crate) struct Watchers {
    open: Arc<Mutex<usize>>,
    limit: usize,
    gauge: Gauge<0>,
    events: Counter<1>,
}

impl Watchers {
    /// Registers `kaito_preset_registry_watchers` and `kaito_preset_registry_watch_events_total{event}`.
    pub(crate) fn new(metrics: &Metrics, limit: usize) -> Self {
        Self {
            open: Arc::default(),
            limit,
            gauge: metrics.gauge("kaito_preset_registry_watchers", "Open WatchPresets streams", []),
            events: metrics.counter(
                "kaito_preset_registry_watch_events",
                "Messages of WatchPresets: chunks, deltas, and restarted snapshots",
                ["event"],
            ),
        }
    }

    /// Admits one more subscriber, until the permit is dropped.
    pub(crate) fn permit(&self) -> Result<SubscriptionPermit, Status> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if *open >= self.limit {
            return Err(Status::resource_exhausted(format!(
                "{} WatchPresets streams are open, the most that this server allows; use another replica or \
                 retry later",
                self.limit
            )));
        }
        *open += 1;
        self.show(*open);
        Ok(SubscriptionPermit(self.clone()))
    }

    fn show(&self, open: usize) {
        #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 streams")]
        self.gauge.set([], open as f64);
    }
}

/// The right to one subscription.
#[derive(Debug)]
pub(crate) struct SubscriptionPermit(Watchers);

impl Drop for SubscriptionPermit {
    fn drop(&mut self) {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = open.saturating_sub(1);
        self.0.show(*open);
    }
}

/// The position of a subscriber in the history.
#[derive(Debug)]
enum Position {
    /// Nothing was sent.
    Start,
    /// A snapshot of this revision was sent up to this short name.
    Snapshot { number: u64, after: Option<String> },
    /// The client has this revision.
    Live { number: u64 },
}

/// One subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// The version that the client reports.
    pub(crate) known_version: String,
    pub(crate) catalogs: watch::Receiver<Arc<CatalogRevision>>,
    pub(crate) stop: CancellationToken,
    /// The time at which the client stops waiting.
    pub(crate) deadline: Option<Instant>,
    /// The time at which the client must open a new stream.
    pub(crate) ends_at: Instant,
    /// The caller, whose right may end; `None` in tests.
    pub(crate) caller: Option<Caller>,
    pub(crate) permit: SubscriptionPermit,
    pub(crate) call: Call,
}

type Message = Result<v1::WatchPresetsResponse, Status>;

impl Subscriber {
    /// The messages for the client.
    pub(crate) fn stream(self) -> impl Stream<Item = Message> + Send + 'static {
        let start = Some((self, Position::Start));
        futures::stream::unfold(start, |state| async {
            let (mut subscriber, at) = state?;
            match subscriber.next(at).await {
                Next::Send(message, at) => Some((Ok(*message), Some((subscriber, at)))),
                Next::Stopping => {
                    subscriber.call.end(Code::Ok);
                    None
                }
                Next::Lapsed(status) => {
                    subscriber.call.end(status.code());
                    Some((Err(status), None))
                }
                Next::Expired => {
                    subscriber.call.end(Code::DeadlineExceeded);
                    Some((
                        Err(Status::deadline_exceeded("the deadline of the watch has passed")),
                        None,
                    ))
                }
            }
        })
    }

    async fn next(&mut self, mut at: Position) -> Next {
        loop {
            if self.stop.is_cancelled() {
                return Next::Stopping;
            }
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Next::Expired;
            }
            let now = Arc::clone(&self.catalogs.borrow_and_update());
            at = match at {
                Position::Start if now.catalog.version() == self.known_version => {
                    return self.send_delta(&self.known_version, v1::CatalogDelta::default(), now.number);
                }
                Position::Snapshot { number, after } if number == now.number => {
                    return self.send_chunk(&now, after.as_deref());
                }
                Position::Live { number } if number == now.number => {
                    drop(now);
                    tokio::select! {
                        // The sender lives as long as the server.
                        _ = self.catalogs.changed() => Position::Live { number },
                        () = self.stop.cancelled() => return Next::Stopping,
                        () = until(self.deadline) => return Next::Expired,
                        () = tokio::time::sleep_until(self.ends_at) => return Next::Stopping,
                        status = lapsed(self.caller.as_ref()) => return Next::Lapsed(status),
                    }
                }
                Position::Live { number } => {
                    match now
                        .change_after(number)
                        .map(|change| (&change.version, &change.delta))
                    {
                        Some((version, Some(delta))) => {
                            return self.send_delta(version, delta.clone(), number + 1);
                        }
                        _ => self.restart(&now),
                    }
                }
                Position::Start => Position::Snapshot {
                    number: now.number,
                    after: None,
                },
                // The catalog changed under the snapshot.
                Position::Snapshot { .. } => self.restart(&now),
            };
        }
    }

    fn restart(&self, now: &CatalogRevision) -> Position {
        self.permit.0.events.inc(["resync"]);
        Position::Snapshot {
            number: now.number,
            after: None,
        }
    }

    fn send_delta(&self, version: &str, delta: v1::CatalogDelta, number: u64) -> Next {
        self.permit.0.events.inc(["delta"]);
        Next::send(version, Event::Delta(delta), Position::Live { number })
    }

    fn send_chunk(&self, now: &CatalogRevision, after: Option<&str>) -> Next {
        self.permit.0.events.inc(["snapshot_chunk"]);
        let mut left = now
            .catalog
            .iter()
            .filter(|preset| after.is_none_or(|after| preset.name.as_str() > after))
            .peekable();
        let (mut presets, mut bytes) = (Vec::new(), 0);
        while bytes < CHUNK_BYTES
            && let Some(preset) = left.next()
        {
            let preset = v1::Preset::from(preset);
            bytes += preset.encoded_len();
            presets.push(preset);
        }
        let last = left.peek().is_none();
        let at = if last {
            Position::Live { number: now.number }
        } else {
            Position::Snapshot {
                number: now.number,
                after: presets.last().map(|preset| preset.name.clone()),
            }
        };
        let chunk = v1::SnapshotChunk {
            presets,
            first: after.is_none(),
            last,
        };
        Next::send(now.catalog.version(), Event::Snapshot(chunk), at)
    }
}

enum Next {
    Send(Box<v1::WatchPresetsResponse>, Position),
    /// The server stops, or the stream is old.
    Stopping,
    /// The caller is no longer admitted.
    Lapsed(Status),
    /// The client's deadline has passed.
    Expired,
}

impl Next {
    fn send(version: &str, event: Event, at: Position) -> Self {
        let message = v1::WatchPresetsResponse {
            catalog_version: version.to_owned(),
            event: Some(event),
        };
        Self::Send(Box::new(message), at)
    }
}

async fn lapsed(caller: Option<&Caller>) -> Status {
    match caller {
        Some(caller) => caller.lapsed().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;

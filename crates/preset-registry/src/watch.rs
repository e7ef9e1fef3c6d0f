//! The stream of one subscriber: the whole catalog, then what changes.
//!
//! A subscriber is a place in the history and nothing more: what is sent is read from the library at the moment
//! when the client can take it. So a client that does not read costs a few hundred bytes, and is told in a new
//! snapshot what it missed.

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
use crate::library::Published;

/// A piece of a snapshot ends with the preset that reaches this size.
const CHUNK_BYTES: usize = 64 << 10;

/// How many subscribers there are, and what they are sent.
#[derive(Debug, Clone)]
pub(crate) struct Watchers {
    open: Arc<Mutex<usize>>,
    limit: usize,
    gauge: Gauge<0>,
    events: Counter<1>,
}

impl Watchers {
    /// Registers `preset_registry_watchers` and `preset_registry_watch_events_total{event}`.
    pub(crate) fn new(metrics: &Metrics, limit: usize) -> Self {
        Self {
            open: Arc::default(),
            limit,
            gauge: metrics.gauge("preset_registry_watchers", "Open WatchPresets streams", []),
            events: metrics.counter(
                "preset_registry_watch_events",
                "What WatchPresets sent: chunks, deltas, and snapshots begun anew",
                ["event"],
            ),
        }
    }

    /// A place for one more, given back when dropped.
    pub(crate) fn place(&self) -> Result<Place, Status> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if *open >= self.limit {
            return Err(Status::resource_exhausted(format!(
                "{} WatchPresets streams are open, which is the most this server allows; ask another replica or \
                 later",
                self.limit
            )));
        }
        *open += 1;
        self.show(*open);
        Ok(Place(self.clone()))
    }

    fn show(&self, open: usize) {
        #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 streams")]
        self.gauge.set([], open as f64);
    }
}

/// One of the subscribers that are allowed.
#[derive(Debug)]
pub(crate) struct Place(Watchers);

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = open.saturating_sub(1);
        self.0.show(*open);
    }
}

/// Where a subscriber stands.
#[derive(Debug)]
enum At {
    /// Nothing was sent yet.
    Start,
    /// A snapshot of the catalog of this number was sent up to this short name.
    Snapshot { number: u64, after: Option<String> },
    /// The client has the catalog of this number.
    Live { number: u64 },
}

/// A subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// The version that the client says it has.
    pub(crate) known_version: String,
    pub(crate) library: watch::Receiver<Arc<Published>>,
    pub(crate) stop: CancellationToken,
    /// When the client stops waiting.
    pub(crate) deadline: Option<Instant>,
    pub(crate) place: Place,
    pub(crate) call: Call,
}

type Message = Result<v1::WatchPresetsResponse, Status>;

impl Subscriber {
    /// What the client is sent.
    pub(crate) fn stream(self) -> impl Stream<Item = Message> + Send + 'static {
        let start = Some((self, At::Start));
        futures::stream::unfold(start, |state| async {
            let (mut subscriber, at) = state?;
            match subscriber.next(at).await {
                Next::Send(message, at) => Some((Ok(*message), Some((subscriber, at)))),
                Next::Stopping => {
                    subscriber.call.end(Code::Ok);
                    None
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

    async fn next(&mut self, mut at: At) -> Next {
        loop {
            if self.stop.is_cancelled() {
                return Next::Stopping;
            }
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Next::Expired;
            }
            let now = Arc::clone(&self.library.borrow_and_update());
            at = match at {
                At::Start if now.catalog.version() == self.known_version => {
                    return self.send_delta(&self.known_version, v1::CatalogDelta::default(), now.number);
                }
                At::Snapshot { number, after } if number == now.number => {
                    return self.send_chunk(&now, after.as_deref());
                }
                At::Live { number } if number == now.number => {
                    drop(now);
                    tokio::select! {
                        // The sender lives as long as the server.
                        _ = self.library.changed() => At::Live { number },
                        () = self.stop.cancelled() => return Next::Stopping,
                        () = until(self.deadline) => return Next::Expired,
                    }
                }
                At::Live { number } => {
                    match now.step_after(number).map(|step| (&step.version, &step.delta)) {
                        Some((version, Some(delta))) => {
                            return self.send_delta(version, delta.clone(), number + 1);
                        }
                        _ => self.begin_anew(&now),
                    }
                }
                At::Start => At::Snapshot {
                    number: now.number,
                    after: None,
                },
                // The catalog changed under the snapshot.
                At::Snapshot { .. } => self.begin_anew(&now),
            };
        }
    }

    fn begin_anew(&self, now: &Published) -> At {
        self.place.0.events.inc(["resync"]);
        At::Snapshot {
            number: now.number,
            after: None,
        }
    }

    fn send_delta(&self, version: &str, delta: v1::CatalogDelta, number: u64) -> Next {
        self.place.0.events.inc(["delta"]);
        Next::send(version, Event::Delta(delta), At::Live { number })
    }

    fn send_chunk(&self, now: &Published, after: Option<&str>) -> Next {
        self.place.0.events.inc(["snapshot_chunk"]);
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
            At::Live { number: now.number }
        } else {
            At::Snapshot {
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
    Send(Box<v1::WatchPresetsResponse>, At),
    /// The server stops.
    Stopping,
    /// The client's deadline has passed.
    Expired,
}

impl Next {
    fn send(version: &str, event: Event, at: At) -> Self {
        let message = v1::WatchPresetsResponse {
            catalog_version: version.to_owned(),
            event: Some(event),
        };
        Self::Send(Box::new(message), at)
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

//! Our own brakes before Azure's: request budgets that mirror the service's, and a limit on writes at once.
//!
//! Never waits: a request that must not go now is refused at once with the time until it may. Codes are
//! `LocalRateLimit` and `LocalWriteGate`, so that nobody takes such a refusal for Azure's word.

mod bucket;
mod width;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cloudprovider::{ErrorClass, ProviderError};
use jiff::SignedDuration;

pub use bucket::{Bucket, Rate};
pub use width::{Ticket, Verdict, Width};

/// Budgets. The defaults are those of the AKS resource provider
/// (<https://learn.microsoft.com/azure/aks/quotas-skus-regions#throttling-limits-on-aks-resource-provider-apis>).
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// GET, LIST and DELETE of pools, together, a subscription.
    pub reads: Rate,
    /// Reads of operations, a subscription.
    pub operations: Rate,
    /// PUT, each pool.
    pub puts: Rate,
    /// Of `reads`, how many are kept for listings and deletions.
    pub reserve: f64,
    /// Writes at once: at first.
    pub writes_start: u32,
    /// Writes at once: at most.
    pub writes_max: u32,
    /// When to try again after a write found no permit.
    pub write_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reads: Rate {
                burst: 60.0,
                per_second: 1.0,
            },
            operations: Rate {
                burst: 200.0,
                per_second: 2.0,
            },
            puts: Rate {
                burst: 20.0,
                per_second: 1.0 / 60.0,
            },
            reserve: 10.0,
            writes_start: 4,
            writes_max: 16,
            write_pause: Duration::from_secs(1),
        }
    }
}

/// What somebody wants to ask of Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask<'a> {
    Get,
    /// A listing, with its empty second page.
    List,
    Operation,
    Put(&'a str),
    Delete,
    /// Ends what is in the way, so it waits for no permit.
    Abort,
}

/// How many buckets of single pools are kept before idle ones are forgotten.
const POOLS_KEPT: usize = 256;

/// The brakes of one cluster.
#[derive(Debug)]
pub(crate) struct Gate {
    started: Instant,
    limits: Option<Limits>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    reads: Bucket,
    operations: Bucket,
    puts: BTreeMap<String, Bucket>,
    writes: Width,
}

impl Gate {
    pub(crate) fn new(limits: Option<Limits>) -> Self {
        let shape = limits.clone().unwrap_or_default();
        let state = State {
            reads: Bucket::new(shape.reads, Duration::ZERO),
            operations: Bucket::new(shape.operations, Duration::ZERO),
            puts: BTreeMap::new(),
            writes: Width::new(shape.writes_start, shape.writes_max),
        };
        Self {
            started: Instant::now(),
            limits,
            state: Mutex::new(state),
        }
    }

    /// The right to ask now.
    ///
    /// # Errors
    /// `LocalRateLimit` (class `Throttled`) or `LocalWriteGate` (class `LocallyLimited`).
    pub(crate) fn enter<'a>(&'a self, ask: Ask<'a>) -> Result<Permit<'a>, ProviderError> {
        let Some(limits) = &self.limits else {
            return Ok(Permit {
                gate: self,
                ask,
                ticket: None,
            });
        };
        let now = self.started.elapsed();
        let mut state = self.lock();
        let ticket = match ask {
            Ask::Put(_) => Some(state.writes.enter(0)),
            // Deletions make room, so one more of them may go.
            Ask::Delete => Some(state.writes.enter(1)),
            _ => None,
        };
        if ticket == Some(None) {
            return Err(full(limits.write_pause));
        }
        let ticket = ticket.flatten();
        let (reserve, cost) = match ask {
            Ask::Get => (limits.reserve, 1.0),
            Ask::List => (0.0, 2.0),
            _ => (0.0, 1.0),
        };
        if let Err(wait) = state.bucket(ask, limits, now).take(now, cost, reserve) {
            if let Some(ticket) = ticket {
                state.writes.leave(ticket, Verdict::Other);
            }
            return Err(spent(wait));
        }
        drop(state);
        Ok(Permit {
            gate: self,
            ask,
            ticket,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every update leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bucket(&mut self, ask: Ask<'_>, limits: &Limits, now: Duration) -> &mut Bucket {
        match ask {
            Ask::Operation => &mut self.operations,
            Ask::Put(pool) => {
                if self.puts.len() >= POOLS_KEPT {
                    self.puts.retain(|_, bucket| !bucket.is_idle(now));
                }
                self.puts
                    .entry(pool.to_owned())
                    .or_insert_with(|| Bucket::new(limits.puts, now))
            }
            _ => &mut self.reads,
        }
    }
}

/// The right to one request. Dropped unreported, as when the caller gives up, it only frees its place.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    gate: &'a Gate,
    ask: Ask<'a>,
    ticket: Option<Ticket>,
}

impl Permit<'_> {
    /// One more page than a listing usually has; never refused, or long lists would never end.
    pub(crate) fn one_more_page(&self) {
        if self.gate.limits.is_some() {
            self.gate.lock().reads.charge(self.gate.started.elapsed(), 1.0);
        }
    }

    /// Learns from what became of the request.
    pub(crate) fn report(mut self, error: Option<&ProviderError>) {
        let Some(limits) = &self.gate.limits else { return };
        let now = self.gate.started.elapsed();
        let mut state = self.gate.lock();
        if let Some(error) = error.filter(|error| error.class == ErrorClass::Throttled) {
            let pause = error
                .retry_after
                .and_then(|pause| Duration::try_from(pause).ok())
                .unwrap_or_default();
            state.bucket(self.ask, limits, now).exhausted(now, pause);
        }
        if let Some(ticket) = self.ticket.take() {
            let verdict = match error.map(|error| error.class) {
                None => Verdict::Taken,
                Some(ErrorClass::Busy) => Verdict::Busy,
                Some(_) => Verdict::Other,
            };
            state.writes.leave(ticket, verdict);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.lock().writes.leave(ticket, Verdict::Other);
        }
    }
}

fn spent(wait: Duration) -> ProviderError {
    refusal(
        ErrorClass::Throttled,
        "LocalRateLimit",
        "our request budget for Azure is spent",
        wait,
    )
}

fn full(wait: Duration) -> ProviderError {
    refusal(
        ErrorClass::LocallyLimited,
        "LocalWriteGate",
        "enough agent pools are being changed at once",
        wait,
    )
}

fn refusal(class: ErrorClass, code: &str, message: &str, wait: Duration) -> ProviderError {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    ProviderError::new(class, code, message).with_retry_after(Some(wait))
}

#[cfg(test)]
mod tests;

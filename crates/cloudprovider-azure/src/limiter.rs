//! Limits on our requests to Azure: budgets that mirror the service's, and a limit on concurrent writes.
//!
//! It never waits: a request over a limit fails at once, with the time until it may be sent. The codes
//! `LocalRateLimit` and `LocalWriteGate` distinguish these errors from Azure's own.

mod aimd;
mod bucket;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cloudprovider::{ErrorClass, ProviderError};
use jiff::SignedDuration;

use aimd::{AimdLimit, WriteOutcome, WriteSlot};
pub use bucket::Rate;
use bucket::TokenBucket;

/// Limits on requests. The defaults are those of the AKS resource provider
/// (<https://learn.microsoft.com/azure/aks/quotas-skus-regions#throttling-limits-on-aks-resource-provider-apis>).
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimits {
    /// GET, LIST and DELETE of pools together, for each subscription.
    pub reads: Rate,
    /// Reads of operations, for each subscription.
    pub operations: Rate,
    /// PUT, for each pool.
    pub puts: Rate,
    /// Part of `reads` that is reserved for listings and deletions.
    pub reserve: f64,
    /// Concurrent writes at the start.
    pub writes_start: u32,
    /// Most concurrent writes.
    pub writes_max: u32,
    /// Pause after a write that found no slot.
    pub write_pause: Duration,
}

impl Default for RateLimits {
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

/// Kind of a request to Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind<'a> {
    Get,
    /// A listing, with its empty second page.
    List,
    Operation,
    Put(&'a str),
    Delete,
    /// Ends the operation that blocks others, so it needs no slot.
    Abort,
}

/// Number of buckets of single pools above which idle ones are dropped.
const PUT_BUCKETS_MAX: usize = 256;

/// The limits on requests about one cluster.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    started: Instant,
    limits: Option<RateLimits>,
    budgets: Mutex<Budgets>,
}

#[derive(Debug)]
struct Budgets {
    reads: TokenBucket,
    operations: TokenBucket,
    puts: BTreeMap<String, TokenBucket>,
    writes: AimdLimit,
}

impl RateLimiter {
    pub(crate) fn new(limits: Option<RateLimits>) -> Self {
        let shape = limits.clone().unwrap_or_default();
        let budgets = Budgets {
            reads: TokenBucket::new(shape.reads, Duration::ZERO),
            operations: TokenBucket::new(shape.operations, Duration::ZERO),
            puts: BTreeMap::new(),
            writes: AimdLimit::new(shape.writes_start, shape.writes_max),
        };
        Self {
            started: Instant::now(),
            limits,
            budgets: Mutex::new(budgets),
        }
    }

    /// Returns the permit to send a request now.
    ///
    /// # Errors
    /// `LocalRateLimit` (class `Throttled`) or `LocalWriteGate` (class `LocallyLimited`).
    pub(crate) fn acquire<'a>(&'a self, kind: RequestKind<'a>) -> Result<Permit<'a>, ProviderError> {
        let Some(limits) = &self.limits else {
            return Ok(Permit {
                limiter: self,
                kind,
                slot: None,
            });
        };
        let now = self.started.elapsed();
        let mut budgets = self.lock();
        let slot = match kind {
            RequestKind::Put(_) => Some(budgets.writes.acquire(0)),
            // Deletions free capacity, so one more of them may be sent.
            RequestKind::Delete => Some(budgets.writes.acquire(1)),
            _ => None,
        };
        if slot == Some(None) {
            return Err(write_limited(limits.write_pause));
        }
        let slot = slot.flatten();
        let (reserve, cost) = match kind {
            RequestKind::Get => (limits.reserve, 1.0),
            RequestKind::List => (0.0, 2.0),
            _ => (0.0, 1.0),
        };
        if let Err(wait) = budgets.bucket(kind, limits, now).take(now, cost, reserve) {
            if let Some(slot) = slot {
                budgets.writes.release(slot, WriteOutcome::Neutral);
            }
            return Err(rate_limited(wait));
        }
        drop(budgets);
        Ok(Permit {
            limiter: self,
            kind,
            slot,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Budgets> {
        // Every update leaves the budgets consistent, so a panic elsewhere does not spoil them.
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budgets {
    fn bucket(&mut self, kind: RequestKind<'_>, limits: &RateLimits, now: Duration) -> &mut TokenBucket {
        match kind {
            RequestKind::Operation => &mut self.operations,
            RequestKind::Put(pool) => {
                if self.puts.len() >= PUT_BUCKETS_MAX {
                    self.puts.retain(|_, bucket| !bucket.is_idle(now));
                }
                self.puts
                    .entry(pool.to_owned())
                    .or_insert_with(|| TokenBucket::new(limits.puts, now))
            }
            _ => &mut self.reads,
        }
    }
}

/// The right to one request. A permit that is dropped without a report only gives its slot back.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    limiter: &'a RateLimiter,
    kind: RequestKind<'a>,
    slot: Option<WriteSlot>,
}

impl Permit<'_> {
    /// Charges one more page than a listing usually has. It is never refused, or long listings would never end.
    pub(crate) fn one_more_page(&self) {
        if self.limiter.limits.is_some() {
            self.limiter
                .lock()
                .reads
                .charge(self.limiter.started.elapsed(), 1.0);
        }
    }

    /// Adapts the limits to the outcome of the request.
    pub(crate) fn report(mut self, error: Option<&ProviderError>) {
        let Some(limits) = &self.limiter.limits else {
            return;
        };
        let now = self.limiter.started.elapsed();
        let mut budgets = self.limiter.lock();
        if let Some(error) = error.filter(|error| error.class == ErrorClass::Throttled) {
            let pause = error
                .retry_after
                .and_then(|pause| Duration::try_from(pause).ok())
                .unwrap_or_default();
            budgets.bucket(self.kind, limits, now).exhaust(now, pause);
        }
        if let Some(slot) = self.slot.take() {
            let outcome = match error.map(|error| error.class) {
                None => WriteOutcome::Accepted,
                Some(ErrorClass::Busy) => WriteOutcome::Busy,
                Some(_) => WriteOutcome::Neutral,
            };
            budgets.writes.release(slot, outcome);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.limiter.lock().writes.release(slot, WriteOutcome::Neutral);
        }
    }
}

fn rate_limited(wait: Duration) -> ProviderError {
    refusal(
        ErrorClass::Throttled,
        "LocalRateLimit",
        "our request budget for Azure is spent",
        wait,
    )
}

fn write_limited(wait: Duration) -> ProviderError {
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

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

use crate::error;
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
    /// PUT and abort, for each subscription and identity, by Azure Resource Manager itself.
    pub writes: Rate,
    /// DELETE, likewise.
    pub deletes: Rate,
    /// Reads of instance types and quotas. They go to the compute provider, and wait while half of `reads` is spent.
    pub surveys: Rate,
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
            // <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>
            writes: Rate {
                burst: 200.0,
                per_second: 10.0,
            },
            deletes: Rate {
                burst: 200.0,
                per_second: 10.0,
            },
            surveys: Rate {
                burst: 20.0,
                per_second: 1.0 / 30.0,
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
    /// A read of the compute provider, which is never urgent.
    Survey,
}

/// Pause of all writes after a refusal for the whole subscription without a time.
const SUBSCRIPTION_PAUSE: Duration = Duration::from_secs(30);
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
    surveys: TokenBucket,
    /// Budgets of Azure Resource Manager.
    arm_writes: TokenBucket,
    arm_deletes: TokenBucket,
    writes: AimdLimit,
}

impl RateLimiter {
    pub(crate) fn new(limits: Option<RateLimits>) -> Self {
        let shape = limits.clone().unwrap_or_default();
        let budgets = Budgets {
            reads: TokenBucket::new(shape.reads, Duration::ZERO),
            operations: TokenBucket::new(shape.operations, Duration::ZERO),
            puts: BTreeMap::new(),
            surveys: TokenBucket::new(shape.surveys, Duration::ZERO),
            arm_writes: TokenBucket::new(shape.writes, Duration::ZERO),
            arm_deletes: TokenBucket::new(shape.deletes, Duration::ZERO),
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
    /// `LocalRateLimit` or `LocalWriteGate`, both of class `LocallyLimited`.
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
        let open = match kind {
            RequestKind::Survey => budgets.reads.check(now, 0.0, limits.reads.burst / 2.0),
            _ => budgets
                .arm_bucket(kind)
                .map_or(Ok(()), |bucket| bucket.check(now, 1.0, 0.0)),
        };
        let taken = open.and_then(|()| budgets.bucket(kind, limits, now).take(now, cost, reserve));
        if let Err(wait) = taken {
            if let Some(slot) = slot {
                budgets.writes.release(slot, WriteOutcome::Neutral);
            }
            return Err(rate_limited(wait));
        }
        if let Some(bucket) = budgets.arm_bucket(kind) {
            bucket.charge(now, 1.0);
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
    /// The budget of Azure Resource Manager for a write.
    fn arm_bucket(&mut self, kind: RequestKind<'_>) -> Option<&mut TokenBucket> {
        match kind {
            RequestKind::Put(_) | RequestKind::Abort => Some(&mut self.arm_writes),
            RequestKind::Delete => Some(&mut self.arm_deletes),
            RequestKind::Get | RequestKind::List | RequestKind::Operation | RequestKind::Survey => None,
        }
    }

    /// Closes what a throttled request has exhausted: the budgets of all writes if it was counted for the subscription.
    fn exhaust(&mut self, kind: RequestKind<'_>, error: &ProviderError, limits: &RateLimits, now: Duration) {
        let asked = error.retry_after.and_then(|pause| Duration::try_from(pause).ok());
        self.bucket(kind, limits, now)
            .exhaust(now, asked.unwrap_or_default());
        if error::is_subscription_wide(error) && self.arm_bucket(kind).is_some() {
            let pause = asked.unwrap_or(SUBSCRIPTION_PAUSE);
            self.arm_writes.close(now, pause);
            self.arm_deletes.close(now, pause);
        }
    }

    fn bucket(&mut self, kind: RequestKind<'_>, limits: &RateLimits, now: Duration) -> &mut TokenBucket {
        match kind {
            RequestKind::Operation => &mut self.operations,
            RequestKind::Survey => &mut self.surveys,
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
        if let Some(limits) = &self.limiter.limits {
            let now = self.limiter.started.elapsed();
            let mut budgets = self.limiter.lock();
            budgets.bucket(self.kind, limits, now).charge(now, 1.0);
        }
    }

    /// Adapts the budget of Azure Resource Manager to the number of requests that it says are left.
    pub(crate) fn remaining(&self, left: Option<u32>) {
        let now = self.limiter.started.elapsed();
        if let Some(left) = left.filter(|_| self.limiter.limits.is_some())
            && let Some(bucket) = self.limiter.lock().arm_bucket(self.kind)
        {
            bucket.cap(now, f64::from(left));
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
            budgets.exhaust(self.kind, error, limits, now);
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
        ErrorClass::LocallyLimited,
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

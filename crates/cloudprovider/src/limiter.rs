//! Limits on our requests to a cloud: budgets that mirror the service's, and a limit on concurrent writes.
//!
//! It is a value without a clock: the time is an argument, counted from any fixed instant. It never waits: a request over a
//! limit fails at once, with the time at which it may be sent. Requests that wait for one budget get times that are as far apart
//! as the budget grows. The codes `LocalRateLimit` and `LocalWriteGate`
//! distinguish these errors from the cloud's own.

mod aimd;
mod bucket;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use crate::error::{ErrorClass, ProviderError};
use aimd::{AimdLimit, WriteOutcome, WriteSlot};
pub use bucket::Rate;
use bucket::TokenBucket;

/// Limits on requests. The defaults are those of Azure: of the AKS resource provider
/// (<https://learn.microsoft.com/azure/aks/quotas-skus-regions#throttling-limits-on-aks-resource-provider-apis>).
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimits {
    /// GET, LIST and DELETE of instances together, for each subscription.
    pub reads: Rate,
    /// Reads of operations, for each subscription.
    pub operations: Rate,
    /// PUT, for each instance.
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

/// Kind of a request to a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind<'a> {
    /// A read of one instance.
    Get,
    /// A listing, with its empty second page.
    List,
    /// A read of an operation.
    Operation,
    /// A write of the instance of this name.
    Put(&'a str),
    /// A deletion.
    Delete,
    /// Ends the operation that blocks others, so it needs no slot.
    Abort,
    /// A read of what the cloud offers, which is never urgent.
    Survey,
}

/// Requests of a listing: one for the instances, and one for the empty page after them.
const LISTING: f64 = 2.0;
/// Pause of all writes after a refusal for the whole subscription without a time.
const SUBSCRIPTION_PAUSE: Duration = Duration::from_secs(30);
/// Number of buckets of single instances above which idle ones are dropped.
const PUT_BUCKETS_MAX: usize = 256;

/// The limits on requests about one cluster.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    limits: RateLimits,
    reads: TokenBucket,
    operations: TokenBucket,
    puts: BTreeMap<String, TokenBucket>,
    surveys: TokenBucket,
    /// Budgets of the whole subscription.
    subscription_writes: TokenBucket,
    subscription_deletes: TokenBucket,
    writes: AimdLimit,
}

/// The right to one request. [`RateLimiter::report`] or [`RateLimiter::give_back`] must get it back.
#[derive(Debug)]
#[must_use = "a write keeps its slot until it is reported"]
pub struct Permit<'a> {
    kind: RequestKind<'a>,
    slot: Option<WriteSlot>,
}

impl RateLimiter {
    /// Full budgets.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        Self {
            reads: TokenBucket::new(limits.reads, Duration::ZERO),
            operations: TokenBucket::new(limits.operations, Duration::ZERO),
            puts: BTreeMap::new(),
            surveys: TokenBucket::new(limits.surveys, Duration::ZERO),
            subscription_writes: TokenBucket::new(limits.writes, Duration::ZERO),
            subscription_deletes: TokenBucket::new(limits.deletes, Duration::ZERO),
            writes: AimdLimit::new(limits.writes_start, limits.writes_max),
            limits,
        }
    }

    /// Returns the permit to send a request now.
    ///
    /// # Errors
    /// `LocalRateLimit` or `LocalWriteGate`, both of class `LocallyLimited`, with the time until the request may be sent.
    pub fn acquire<'a>(&mut self, kind: RequestKind<'a>, now: Duration) -> Result<Permit<'a>, ProviderError> {
        let slot = match kind {
            RequestKind::Put(_) => Some(self.writes.acquire(0)),
            // Deletions free capacity, so one more of them may be sent.
            RequestKind::Delete => Some(self.writes.acquire(1)),
            _ => None,
        };
        if slot == Some(None) {
            return Err(write_limited(self.limits.write_pause));
        }
        let slot = slot.flatten();
        if let Err(wait) = self.spend(kind, now) {
            if let Some(slot) = slot {
                self.writes.release(slot, WriteOutcome::Neutral);
            }
            return Err(rate_limited(wait));
        }
        Ok(Permit { kind, slot })
    }

    /// Takes a request from its budgets, or from none of them.
    fn spend(&mut self, kind: RequestKind<'_>, now: Duration) -> Result<(), Duration> {
        let (reserve, cost) = match kind {
            RequestKind::Get => (self.limits.reserve, 1.0),
            // Deletions that wait take each request as it comes back. A listing needs two, and would never be sent.
            RequestKind::Delete => (LISTING, 1.0),
            RequestKind::List => (0.0, LISTING),
            _ => (0.0, 1.0),
        };
        match kind {
            RequestKind::Survey => self.reads.check(now, 0.0, self.limits.reads.burst / 2.0)?,
            _ => {
                if let Some(bucket) = self.of_subscription(kind) {
                    bucket.check(now, 1.0, 0.0)?;
                }
            }
        }
        self.bucket(kind, now).take(now, cost, reserve)?;
        if let Some(bucket) = self.of_subscription(kind) {
            bucket.charge(now, 1.0);
        }
        Ok(())
    }

    /// Charges one more page than a listing usually has. It is never refused, or long listings would never end.
    pub fn charge_page(&mut self, permit: &Permit<'_>, now: Duration) {
        self.bucket(permit.kind, now).charge(now, 1.0);
    }

    /// Adapts the budget of the subscription to the number of requests that the cloud says are left.
    pub fn cap(&mut self, permit: &Permit<'_>, left: u32, now: Duration) {
        if let Some(bucket) = self.of_subscription(permit.kind) {
            bucket.cap(now, f64::from(left));
        }
    }

    /// Adapts the limits to the outcome of a request. A refusal of the whole subscription closes the budgets of all writes.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a permit is used up when its request ends"
    )]
    pub fn report(
        &mut self,
        permit: Permit<'_>,
        error: Option<&ProviderError>,
        is_of_subscription: bool,
        now: Duration,
    ) {
        let Permit { kind, slot } = permit;
        if let Some(error) = error.filter(|error| error.class == ErrorClass::Throttled) {
            let asked = error.retry_after.and_then(|pause| Duration::try_from(pause).ok());
            if is_of_subscription && self.of_subscription(kind).is_some() {
                let pause = asked.unwrap_or(SUBSCRIPTION_PAUSE);
                self.subscription_writes.close(now, pause);
                self.subscription_deletes.close(now, pause);
            } else {
                self.bucket(kind, now).exhaust(now, asked.unwrap_or_default());
            }
        }
        if let Some(slot) = slot {
            let outcome = match error.map(|error| error.class) {
                None => WriteOutcome::Accepted,
                Some(ErrorClass::Busy) => WriteOutcome::Busy,
                Some(_) => WriteOutcome::Neutral,
            };
            self.writes.release(slot, outcome);
        }
    }

    /// Takes the permit of a request back whose outcome is not known.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a permit is used up when its request ends"
    )]
    pub fn give_back(&mut self, permit: Permit<'_>) {
        let Permit { slot, .. } = permit;
        if let Some(slot) = slot {
            self.writes.release(slot, WriteOutcome::Neutral);
        }
    }

    /// The subscription's budget for a write.
    fn of_subscription(&mut self, kind: RequestKind<'_>) -> Option<&mut TokenBucket> {
        match kind {
            RequestKind::Put(_) | RequestKind::Abort => Some(&mut self.subscription_writes),
            RequestKind::Delete => Some(&mut self.subscription_deletes),
            RequestKind::Get | RequestKind::List | RequestKind::Operation | RequestKind::Survey => None,
        }
    }

    fn bucket(&mut self, kind: RequestKind<'_>, now: Duration) -> &mut TokenBucket {
        match kind {
            RequestKind::Operation => &mut self.operations,
            RequestKind::Survey => &mut self.surveys,
            RequestKind::Put(name) => {
                if self.puts.len() >= PUT_BUCKETS_MAX {
                    self.puts.retain(|_, bucket| !bucket.is_idle(now));
                }
                let rate = self.limits.puts;
                self.puts
                    .entry(name.to_owned())
                    .or_insert_with(|| TokenBucket::new(rate, now))
            }
            _ => &mut self.reads,
        }
    }
}

fn rate_limited(wait: Duration) -> ProviderError {
    refusal(
        "LocalRateLimit",
        "our request budget for the cloud is spent",
        wait,
    )
}

fn write_limited(wait: Duration) -> ProviderError {
    refusal(
        "LocalWriteGate",
        "enough instances are being changed at once",
        wait,
    )
}

fn refusal(code: &str, message: &str, wait: Duration) -> ProviderError {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    ProviderError::new(ErrorClass::LocallyLimited, code, message).with_retry_after(Some(wait))
}

#[cfg(test)]
mod tests;

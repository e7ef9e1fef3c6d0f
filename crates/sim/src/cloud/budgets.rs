//! Budgets of requests, as the service counts them. It refuses what exceeds them, and says when to come back.

use std::collections::BTreeMap;

use cloudprovider::{ErrorClass, ProviderError, RequestKind};
use jiff::{SignedDuration, Timestamp};

use super::faults::error;

/// Code of a refusal for the whole subscription.
pub(crate) const OF_SUBSCRIPTION: &str = "SubscriptionRequestsThrottled";

/// One budget: most requests at once, and those that come back a second.
type Budget = (f64, f64);

/// Budgets of AKS for reads of instances, reads of operations, and writes of one instance.
const READS: Budget = (60.0, 1.0);
const OPERATIONS: Budget = (200.0, 2.0);
const PUTS: Budget = (20.0, 1.0 / 60.0);
/// Budget of Azure Resource Manager for the writes of a subscription, and another one of this size for deletions.
const OF_MANAGER: Budget = (200.0, 10.0);

/// One request that the service counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its time.
    pub at: Timestamp,
    /// `get`, `list`, `operation`, `put`, `delete`, `abort` or `survey`.
    pub kind: &'static str,
    /// The pause that was asked for, if the request was refused.
    pub pause: Option<SignedDuration>,
}

/// Requests that the service has counted.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// Part of the subscription's writes and deletions that is left to our programs: others use the rest.
    share: f64,
    /// Requests that are left, and when they were counted.
    left: BTreeMap<String, (f64, Timestamp)>,
    log: Vec<Counted>,
}

impl Budgets {
    /// Full budgets, of which other programs leave this part.
    #[must_use]
    pub fn shared(share: f64) -> Self {
        Self {
            share,
            left: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    /// Every request, in order.
    #[must_use]
    pub fn log(&self) -> &[Counted] {
        &self.log
    }

    /// Counts a request.
    pub(super) fn count(&mut self, now: Timestamp, kind: RequestKind<'_>) -> Result<(), ProviderError> {
        let taken = match of_manager(kind) {
            Some(name) => {
                let (burst, rate) = OF_MANAGER;
                let budget = (burst * self.share, rate * self.share);
                self.take(now, name.to_owned(), budget)
                    .map_err(|wait| (OF_SUBSCRIPTION, wait))
            }
            None => Ok(()),
        };
        let taken = taken.and_then(|()| {
            self.count_at_service(now, kind)
                .map_err(|wait| ("Throttled", wait))
        });
        self.log.push(Counted {
            at: now,
            kind: word(kind),
            pause: taken.err().map(|(_, wait)| wait),
        });
        taken.map_err(|(code, wait)| {
            error(ErrorClass::Throttled, code, "too many requests").with_retry_after(Some(wait))
        })
    }

    fn count_at_service(&mut self, now: Timestamp, kind: RequestKind<'_>) -> Result<(), SignedDuration> {
        match kind {
            RequestKind::Put(name) => self.take(now, format!("puts/{name}"), PUTS),
            RequestKind::Operation => self.take(now, "operations".to_owned(), OPERATIONS),
            RequestKind::List => {
                self.take(now, "reads".to_owned(), READS)?;
                self.take(now, "reads".to_owned(), READS)
            }
            _ => self.take(now, "reads".to_owned(), READS),
        }
    }

    fn take(
        &mut self,
        now: Timestamp,
        name: String,
        (burst, rate): (f64, f64),
    ) -> Result<(), SignedDuration> {
        let (left, at) = self.left.entry(name).or_insert((burst, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() * rate).min(burst);
        *at = now;
        // A microsecond of clocks is no difference.
        if *left >= 1.0 - 1e-6 * rate {
            *left -= 1.0;
            return Ok(());
        }
        let wait = SignedDuration::try_from_secs_f64((1.0 - *left) / rate).unwrap_or(SignedDuration::MAX);
        Err(SignedDuration::from_secs(wait.as_secs().saturating_add(1)))
    }

    /// Requests of this kind that Azure Resource Manager permits now, as its headers show.
    pub(super) fn left(&self, kind: RequestKind<'_>) -> Option<u32> {
        let (left, _) = self.left.get(of_manager(kind)?)?;
        // Fewer than a burst.
        Some(left.max(0.0) as u32)
    }
}

fn of_manager(kind: RequestKind<'_>) -> Option<&'static str> {
    match kind {
        RequestKind::Put(_) | RequestKind::Abort => Some("writes"),
        RequestKind::Delete => Some("deletes"),
        _ => None,
    }
}

fn word(kind: RequestKind<'_>) -> &'static str {
    match kind {
        RequestKind::Get => "get",
        RequestKind::List => "list",
        RequestKind::Operation => "operation",
        RequestKind::Put(_) => "put",
        RequestKind::Delete => "delete",
        RequestKind::Abort => "abort",
        RequestKind::Survey => "survey",
    }
}

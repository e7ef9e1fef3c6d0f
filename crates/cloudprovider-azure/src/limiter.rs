//! The limiter of requests to Azure, with a clock and for several tasks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cloudprovider::{Permit, ProviderError, RateLimiter, RateLimits, RequestKind};

use crate::error;

/// The limits on requests about one cluster.
#[derive(Debug)]
pub(crate) struct SharedLimiter {
    started: Instant,
    /// None permits every request.
    limiter: Option<Mutex<RateLimiter>>,
}

impl SharedLimiter {
    pub(crate) fn new(limits: Option<RateLimits>) -> Self {
        Self {
            started: Instant::now(),
            limiter: limits.map(|limits| Mutex::new(RateLimiter::new(limits))),
        }
    }

    /// Returns the permit to send a request now.
    ///
    /// # Errors
    /// Class `LocallyLimited`.
    pub(crate) fn acquire<'a>(&'a self, kind: RequestKind<'a>) -> Result<RequestPermit<'a>, ProviderError> {
        let permit = self
            .change(|limiter, now| limiter.acquire(kind, now))
            .transpose()?;
        Ok(RequestPermit {
            limiter: self,
            permit,
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut RateLimiter, Duration) -> T) -> Option<T> {
        let limiter = self.limiter.as_ref()?;
        // Every update leaves the budgets consistent, so a panic elsewhere does not spoil them.
        let mut limiter: MutexGuard<'_, RateLimiter> = limiter.lock().unwrap_or_else(PoisonError::into_inner);
        // Inside the lock, so that the limiter sees no time twice.
        let now = self.started.elapsed();
        Some(change(&mut limiter, now))
    }
}

/// The right to one request. One that is dropped without a report only gives its slot back.
#[derive(Debug)]
pub(crate) struct RequestPermit<'a> {
    limiter: &'a SharedLimiter,
    permit: Option<Permit<'a>>,
}

impl RequestPermit<'_> {
    /// Charges one more page than a listing usually has.
    pub(crate) fn one_more_page(&self) {
        if let Some(permit) = &self.permit {
            self.limiter
                .change(|limiter, now| limiter.charge_page(permit, now));
        }
    }

    /// Adapts the limits to the number of requests that Azure Resource Manager says are left.
    pub(crate) fn remaining(&self, left: Option<u32>) {
        if let (Some(permit), Some(left)) = (&self.permit, left) {
            self.limiter.change(|limiter, now| limiter.cap(permit, left, now));
        }
    }

    /// Adapts the limits to the outcome of the request.
    pub(crate) fn report(mut self, error: Option<&ProviderError>) {
        if let Some(permit) = self.permit.take() {
            let is_wide = error.is_some_and(error::is_subscription_wide);
            self.limiter
                .change(|limiter, now| limiter.report(permit, error, is_wide, now));
        }
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.limiter.change(|limiter, _| limiter.give_back(permit));
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudprovider::ErrorClass;

    use super::*;

    #[test]
    fn a_permit_that_is_dropped_gives_its_slot_back() {
        let limiter = SharedLimiter::new(Some(RateLimits {
            writes_start: 1,
            writes_max: 1,
            ..RateLimits::default()
        }));
        let first = limiter.acquire(RequestKind::Put("a")).unwrap();
        let refused = limiter.acquire(RequestKind::Put("b")).unwrap_err();
        assert_eq!(refused.class, ErrorClass::LocallyLimited);
        drop(first);
        limiter.acquire(RequestKind::Put("b")).unwrap().report(None);
        assert!(limiter.acquire(RequestKind::Put("c")).is_ok());
    }

    #[test]
    fn without_limits_every_request_is_permitted() {
        let limiter = SharedLimiter::new(None);
        let permits: Vec<_> = (0..500)
            .map(|_| limiter.acquire(RequestKind::Put("a")).unwrap())
            .collect();
        assert_eq!(permits.len(), 500);
    }

    #[test]
    fn the_codes_and_texts_of_the_subscription_close_all_writes() {
        for (code, message) in [
            (
                "Throttled",
                "limit has been exceeded for SubID='s', please retry again in 50 seconds",
            ),
            (
                "SubscriptionRequestsThrottled",
                "Number of 'write' requests for subscription 's' exceeded",
            ),
            (
                "TooManyRequests",
                "too many requests have been received for this subscription",
            ),
        ] {
            let limiter = SharedLimiter::new(Some(RateLimits::default()));
            let error = ProviderError::new(ErrorClass::Throttled, code, message);
            let permit = limiter.acquire(RequestKind::Put("a")).unwrap();
            permit.report(Some(&error));
            assert!(limiter.acquire(RequestKind::Put("b")).is_err(), "{code}");
            assert!(limiter.acquire(RequestKind::Delete).is_err(), "{code}");
            assert!(limiter.acquire(RequestKind::List).is_ok(), "{code}");
        }
        let limiter = SharedLimiter::new(Some(RateLimits::default()));
        let error = ProviderError::new(
            ErrorClass::Throttled,
            "Throttled",
            "too many requests for the pool",
        );
        let permit = limiter.acquire(RequestKind::Put("a")).unwrap();
        permit.report(Some(&error));
        assert!(limiter.acquire(RequestKind::Put("b")).is_ok());
    }
}

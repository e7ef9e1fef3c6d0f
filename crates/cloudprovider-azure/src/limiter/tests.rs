//! Tests of the whole limiter; its parts are tested in their own files.

use super::*;

fn limits() -> RateLimits {
    let rate = |burst| Rate {
        burst,
        per_second: 0.001,
    };
    RateLimits {
        reads: rate(6.0),
        puts: rate(2.0),
        operations: rate(1.0),
        writes: rate(100.0),
        deletes: rate(100.0),
        surveys: rate(100.0),
        reserve: 3.0,
        writes_start: 2,
        writes_max: 4,
        write_pause: Duration::from_secs(7),
    }
}

fn code(result: Result<Permit<'_>, ProviderError>) -> String {
    result.unwrap_err().code
}

fn busy(class: ErrorClass) -> ProviderError {
    ProviderError::new(class, "x", "x")
}

#[test]
fn reads_leave_a_reserve_for_listings_and_deletions() {
    let limiter = RateLimiter::new(Some(limits()));
    for _ in 0..3 {
        limiter.acquire(RequestKind::Get).unwrap().report(None);
    }
    let refused = limiter.acquire(RequestKind::Get).unwrap_err();
    assert_eq!(
        (refused.class, refused.code.as_str()),
        (ErrorClass::LocallyLimited, "LocalRateLimit")
    );
    assert!(refused.retry_after.unwrap() > SignedDuration::from_secs(900));
    limiter.acquire(RequestKind::List).unwrap().report(None);
    limiter.acquire(RequestKind::Delete).unwrap().report(None);
    assert_eq!(code(limiter.acquire(RequestKind::Delete)), "LocalRateLimit");
    limiter.acquire(RequestKind::Operation).unwrap().report(None);
}

#[test]
fn each_pool_has_its_own_budget_of_puts() {
    let limiter = RateLimiter::new(Some(limits()));
    for _ in 0..2 {
        limiter.acquire(RequestKind::Put("a")).unwrap().report(None);
    }
    assert_eq!(code(limiter.acquire(RequestKind::Put("a"))), "LocalRateLimit");
    limiter.acquire(RequestKind::Put("b")).unwrap().report(None);
}

#[test]
fn writes_at_once_are_limited_and_given_up_permits_come_back() {
    let limiter = RateLimiter::new(Some(limits()));
    let first = limiter.acquire(RequestKind::Put("a")).unwrap();
    let second = limiter.acquire(RequestKind::Put("b")).unwrap();
    let refused = limiter.acquire(RequestKind::Put("c")).unwrap_err();
    assert_eq!(
        (refused.class, refused.code.as_str()),
        (ErrorClass::LocallyLimited, "LocalWriteGate")
    );
    assert_eq!(refused.retry_after, Some(SignedDuration::from_secs(7)));
    let third = limiter.acquire(RequestKind::Delete).unwrap();
    limiter.acquire(RequestKind::Abort).unwrap().report(None);
    drop(first);
    drop(third);
    limiter.acquire(RequestKind::Put("c")).unwrap().report(None);
    second.report(Some(&busy(ErrorClass::Busy)));
    assert_eq!(limiter.lock().writes.current(), 1);
}

#[test]
fn azures_throttling_closes_the_same_budget_here() {
    let limiter = RateLimiter::new(Some(limits()));
    let error = busy(ErrorClass::Throttled).with_retry_after(Some(SignedDuration::from_secs(50)));
    limiter
        .acquire(RequestKind::Put("a"))
        .unwrap()
        .report(Some(&error));
    assert!(
        limiter
            .acquire(RequestKind::Put("a"))
            .unwrap_err()
            .retry_after
            .unwrap()
            > SignedDuration::from_secs(40)
    );
    limiter.acquire(RequestKind::Put("b")).unwrap().report(None);
}

#[test]
fn a_throttle_of_the_subscription_closes_the_writes_of_every_pool() {
    for (code, message, asked) in [
        (
            "Throttled",
            "limit has been exceeded for SubID='s', please retry again in 50 seconds",
            Some(50),
        ),
        (
            "SubscriptionRequestsThrottled",
            "Number of 'write' requests for subscription 's' exceeded",
            None,
        ),
        (
            "TooManyRequests",
            "too many requests have been received for this subscription",
            Some(50),
        ),
    ] {
        let limiter = RateLimiter::new(Some(limits()));
        let error = ProviderError::new(ErrorClass::Throttled, code, message)
            .with_retry_after(asked.map(SignedDuration::from_secs));
        limiter
            .acquire(RequestKind::Put("a"))
            .unwrap()
            .report(Some(&error));
        for kind in [RequestKind::Put("b"), RequestKind::Delete, RequestKind::Abort] {
            let refused = limiter.acquire(kind).unwrap_err();
            assert_eq!(refused.class, ErrorClass::LocallyLimited);
            assert!(
                refused.retry_after.unwrap() > SignedDuration::from_secs(20),
                "{code} {kind:?}"
            );
        }
        limiter.acquire(RequestKind::Get).unwrap().report(None);
        limiter.acquire(RequestKind::List).unwrap().report(None);
    }
}

#[test]
fn what_the_service_says_is_left_is_not_exceeded() {
    let limiter = RateLimiter::new(Some(limits()));
    let permit = limiter.acquire(RequestKind::Put("a")).unwrap();
    permit.remaining(Some(1));
    permit.report(None);
    limiter.acquire(RequestKind::Put("b")).unwrap().report(None);
    assert_eq!(code(limiter.acquire(RequestKind::Put("c"))), "LocalRateLimit");
    limiter.acquire(RequestKind::Delete).unwrap().report(None);
}

#[test]
fn without_limits_every_request_is_permitted() {
    let limiter = RateLimiter::new(None);
    let permits: Vec<_> = (0..500)
        .map(|_| limiter.acquire(RequestKind::Put("a")).unwrap())
        .collect();
    assert_eq!(permits.len(), 500);
}

#[test]
fn memory_does_not_grow_with_pools() {
    let limiter = RateLimiter::new(Some(RateLimits {
        puts: Rate {
            burst: 1.0,
            per_second: 1e9,
        },
        writes: Rate {
            burst: 1.0,
            per_second: 1e9,
        },
        ..limits()
    }));
    for number in 0..2_000 {
        limiter
            .acquire(RequestKind::Put(&format!("p{number}")))
            .unwrap()
            .report(None);
    }
    assert!(limiter.lock().puts.len() <= PUT_BUCKETS_MAX);
}

#[test]
fn surveys_leave_half_of_the_reads_to_others() {
    let limiter = RateLimiter::new(Some(limits()));
    limiter.acquire(RequestKind::Survey).unwrap().report(None);
    for _ in 0..3 {
        limiter.acquire(RequestKind::Get).unwrap().report(None);
    }
    limiter.acquire(RequestKind::Survey).unwrap().report(None);
    limiter.acquire(RequestKind::Delete).unwrap().report(None);
    assert_eq!(code(limiter.acquire(RequestKind::Survey)), "LocalRateLimit");
    assert!(limiter.acquire(RequestKind::Delete).is_ok());
}

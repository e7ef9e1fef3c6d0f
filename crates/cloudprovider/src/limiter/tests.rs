//! Tests of the whole limiter; its parts are tested in their own files.

use super::*;

const START: Duration = Duration::ZERO;

fn limits() -> RateLimits {
    let rate = |burst| Rate {
        burst,
        per_second: 0.001,
    };
    RateLimits {
        reads: rate(8.0),
        puts: rate(2.0),
        operations: rate(1.0),
        writes: rate(100.0),
        deletes: rate(100.0),
        surveys: rate(100.0),
        reserve: 5.0,
        writes_start: 2,
        writes_max: 4,
        write_pause: Duration::from_secs(7),
    }
}

fn limiter() -> RateLimiter {
    RateLimiter::new(limits())
}

/// Sends a request that succeeds.
fn send(limiter: &mut RateLimiter, kind: RequestKind<'_>) -> Result<(), ProviderError> {
    let permit = limiter.acquire(kind, START)?;
    limiter.report(permit, None, false, START);
    Ok(())
}

fn refused(limiter: &mut RateLimiter, kind: RequestKind<'_>) -> ProviderError {
    let refused = limiter.acquire(kind, START).unwrap_err();
    assert_eq!(refused.class, ErrorClass::LocallyLimited);
    refused
}

fn throttled(seconds: Option<i64>) -> ProviderError {
    let error = ProviderError::new(ErrorClass::Throttled, "x", "x");
    error.with_retry_after(seconds.map(SignedDuration::from_secs))
}

fn seconds(error: &ProviderError) -> i64 {
    error.retry_after.unwrap().as_secs()
}

#[test]
fn reads_leave_a_reserve_for_deletions_and_those_for_listings() {
    let mut limiter = limiter();
    for _ in 0..3 {
        send(&mut limiter, RequestKind::Get).unwrap();
    }
    let kept_back = refused(&mut limiter, RequestKind::Get);
    assert_eq!(kept_back.code, "LocalRateLimit");
    assert!(seconds(&kept_back) > 900);
    for _ in 0..3 {
        send(&mut limiter, RequestKind::Delete).unwrap();
    }
    assert_eq!(refused(&mut limiter, RequestKind::Delete).code, "LocalRateLimit");
    send(&mut limiter, RequestKind::List).unwrap();
    assert_eq!(refused(&mut limiter, RequestKind::List).code, "LocalRateLimit");
    send(&mut limiter, RequestKind::Operation).unwrap();
}

#[test]
fn each_instance_has_its_own_budget_of_puts() {
    let mut limiter = limiter();
    for _ in 0..2 {
        send(&mut limiter, RequestKind::Put("a")).unwrap();
    }
    assert_eq!(
        refused(&mut limiter, RequestKind::Put("a")).code,
        "LocalRateLimit"
    );
    send(&mut limiter, RequestKind::Put("b")).unwrap();
}

#[test]
fn writes_at_once_are_limited_and_permits_come_back() {
    let mut limiter = limiter();
    let first = limiter.acquire(RequestKind::Put("a"), START).unwrap();
    let second = limiter.acquire(RequestKind::Put("b"), START).unwrap();
    let kept_back = refused(&mut limiter, RequestKind::Put("c"));
    assert_eq!(
        (kept_back.code.as_str(), seconds(&kept_back)),
        ("LocalWriteGate", 7)
    );
    let third = limiter.acquire(RequestKind::Delete, START).unwrap();
    send(&mut limiter, RequestKind::Abort).unwrap();
    limiter.give_back(first);
    limiter.give_back(third);
    send(&mut limiter, RequestKind::Put("c")).unwrap();
    let busy = ProviderError::new(ErrorClass::Busy, "x", "x");
    limiter.report(second, Some(&busy), false, START);
    assert_eq!(limiter.writes.current(), 1);
}

#[test]
fn the_clouds_throttling_closes_the_same_budget_here() {
    let mut limiter = limiter();
    let permit = limiter.acquire(RequestKind::Put("a"), START).unwrap();
    limiter.report(permit, Some(&throttled(Some(50))), false, START);
    assert_eq!(seconds(&refused(&mut limiter, RequestKind::Put("a"))), 50);
    send(&mut limiter, RequestKind::Put("b")).unwrap();
}

#[test]
fn a_throttle_of_the_subscription_closes_the_writes_of_every_instance_and_no_reads() {
    for kind in [RequestKind::Put("a"), RequestKind::Delete] {
        for asked in [Some(50), None] {
            let mut limiter = limiter();
            let permit = limiter.acquire(kind, START).unwrap();
            limiter.report(permit, Some(&throttled(asked)), true, START);
            for kind in [RequestKind::Put("b"), RequestKind::Delete, RequestKind::Abort] {
                let wait = seconds(&refused(&mut limiter, kind));
                assert!(wait >= asked.unwrap_or(30), "{kind:?}: {wait}");
            }
            send(&mut limiter, RequestKind::Get).unwrap();
            send(&mut limiter, RequestKind::List).unwrap();
        }
    }
}

#[test]
fn what_the_cloud_says_is_left_is_not_exceeded() {
    let mut limiter = limiter();
    let permit = limiter.acquire(RequestKind::Put("a"), START).unwrap();
    limiter.cap(&permit, 1, START);
    limiter.report(permit, None, false, START);
    send(&mut limiter, RequestKind::Put("b")).unwrap();
    assert_eq!(
        refused(&mut limiter, RequestKind::Put("c")).code,
        "LocalRateLimit"
    );
    send(&mut limiter, RequestKind::Delete).unwrap();
}

#[test]
fn memory_does_not_grow_with_instances() {
    let rate = Rate {
        burst: 1.0,
        per_second: 1e9,
    };
    let mut limiter = RateLimiter::new(RateLimits {
        puts: rate,
        writes: rate,
        ..limits()
    });
    for number in 0..2_000 {
        let now = Duration::from_millis(number);
        let name = format!("p{number}");
        let permit = limiter.acquire(RequestKind::Put(&name), now).unwrap();
        limiter.report(permit, None, false, now);
    }
    assert!(limiter.puts.len() <= PUT_BUCKETS_MAX);
}

#[test]
fn surveys_leave_half_of_the_reads_to_others() {
    let mut limiter = limiter();
    send(&mut limiter, RequestKind::Survey).unwrap();
    for _ in 0..3 {
        send(&mut limiter, RequestKind::Get).unwrap();
    }
    send(&mut limiter, RequestKind::Survey).unwrap();
    send(&mut limiter, RequestKind::List).unwrap();
    assert_eq!(refused(&mut limiter, RequestKind::Survey).code, "LocalRateLimit");
    assert!(send(&mut limiter, RequestKind::Delete).is_ok());
}

//! Tests of the brakes as a whole; their parts are tested beside them.

use super::*;

fn limits() -> Limits {
    let rate = |burst| Rate {
        burst,
        per_second: 0.001,
    };
    Limits {
        reads: rate(6.0),
        puts: rate(2.0),
        operations: rate(1.0),
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
    let gate = Gate::new(Some(limits()));
    for _ in 0..3 {
        gate.enter(Ask::Get).unwrap().report(None);
    }
    let refused = gate.enter(Ask::Get).unwrap_err();
    assert_eq!(
        (refused.class, refused.code.as_str()),
        (ErrorClass::Throttled, "LocalRateLimit")
    );
    assert!(refused.retry_after.unwrap() > SignedDuration::from_secs(900));
    gate.enter(Ask::List).unwrap().report(None);
    gate.enter(Ask::Delete).unwrap().report(None);
    assert_eq!(code(gate.enter(Ask::Delete)), "LocalRateLimit");
    gate.enter(Ask::Operation).unwrap().report(None);
}

#[test]
fn each_pool_has_its_own_budget_of_puts() {
    let gate = Gate::new(Some(limits()));
    for _ in 0..2 {
        gate.enter(Ask::Put("a")).unwrap().report(None);
    }
    assert_eq!(code(gate.enter(Ask::Put("a"))), "LocalRateLimit");
    gate.enter(Ask::Put("b")).unwrap().report(None);
}

#[test]
fn writes_at_once_are_limited_and_given_up_permits_come_back() {
    let gate = Gate::new(Some(limits()));
    let first = gate.enter(Ask::Put("a")).unwrap();
    let second = gate.enter(Ask::Put("b")).unwrap();
    let refused = gate.enter(Ask::Put("c")).unwrap_err();
    assert_eq!(
        (refused.class, refused.code.as_str()),
        (ErrorClass::LocallyLimited, "LocalWriteGate")
    );
    assert_eq!(refused.retry_after, Some(SignedDuration::from_secs(7)));
    let third = gate.enter(Ask::Delete).unwrap();
    gate.enter(Ask::Abort).unwrap().report(None);
    drop(first);
    drop(third);
    gate.enter(Ask::Put("c")).unwrap().report(None);
    second.report(Some(&busy(ErrorClass::Busy)));
    assert_eq!(gate.lock().writes.width(), 1);
}

#[test]
fn azures_throttling_closes_the_same_budget_here() {
    let gate = Gate::new(Some(limits()));
    let error = busy(ErrorClass::Throttled).with_retry_after(Some(SignedDuration::from_secs(50)));
    gate.enter(Ask::Put("a")).unwrap().report(Some(&error));
    assert!(gate.enter(Ask::Put("a")).unwrap_err().retry_after.unwrap() > SignedDuration::from_secs(40));
    gate.enter(Ask::Put("b")).unwrap().report(None);
}

#[test]
fn without_limits_everything_goes() {
    let gate = Gate::new(None);
    let permits: Vec<_> = (0..500).map(|_| gate.enter(Ask::Put("a")).unwrap()).collect();
    assert_eq!(permits.len(), 500);
}

#[test]
fn memory_does_not_grow_with_pools() {
    let gate = Gate::new(Some(Limits {
        puts: Rate {
            burst: 1.0,
            per_second: 1e9,
        },
        ..limits()
    }));
    for number in 0..2_000 {
        gate.enter(Ask::Put(&format!("p{number}"))).unwrap().report(None);
    }
    assert!(gate.lock().puts.len() <= POOLS_KEPT);
}

//! Our own limits on real requests.

use arm_server::control::{Action, FaultRule, Named, Verb};
use cloudprovider::{CloudProvider as _, ErrorClass, Rate, RateLimits};
use cloudprovider_azure::Settings;

use crate::harness::{Stage, brief, spec};

fn settings(burst: f64) -> Settings {
    let rate = Rate {
        burst,
        per_second: 0.001,
    };
    let limits = RateLimits {
        reads: rate,
        puts: rate,
        reserve: 0.0,
        ..RateLimits::default()
    };
    Settings {
        limits: Some(limits),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_spent_budget_asks_azure_nothing() {
    let stage = Stage::new().await;
    let provider = stage.provider_with(settings(4.0));
    provider.list().await.unwrap();
    provider.list().await.unwrap();
    let error = provider.list().await.unwrap_err();
    assert_eq!(brief(&error), (ErrorClass::LocallyLimited, "LocalRateLimit"));
    assert!(error.retry_after.unwrap().as_secs() > 1000);
    assert_eq!(stage.control.counters().await.unwrap().by_verb[&Verb::List], 4);
}

#[tokio::test]
async fn azures_own_throttling_stops_us_asking() {
    let stage = Stage::new().await;
    let provider = stage.provider_with(settings(50.0));
    let action = Action::Respond {
        error: Named::Throttled,
        retry_after: Some(60),
        apply: false,
    };
    stage
        .control
        .add_fault(&FaultRule::once(Verb::Put, action))
        .await
        .unwrap();
    assert_eq!(provider.create(&spec("ws1")).await.unwrap_err().code, "Throttled");
    assert_eq!(
        provider.create(&spec("ws1")).await.unwrap_err().code,
        "LocalRateLimit"
    );
    assert!(provider.create(&spec("ws2")).await.is_ok());
    assert_eq!(stage.control.counters().await.unwrap().puts["ws1"], 1);
}

#[tokio::test]
async fn writes_at_once_are_limited() {
    let stage = Stage::new().await;
    let mut settings = settings(50.0);
    settings.limits = settings.limits.map(|limits| RateLimits {
        writes_start: 1,
        writes_max: 1,
        ..limits
    });
    let provider = stage.provider_with(settings);
    provider.list().await.unwrap();
    let rule = FaultRule::once(Verb::Put, Action::Delay { millis: 150 });
    stage.control.add_fault(&rule).await.unwrap();
    let (spec_a, spec_b) = (spec("a"), spec("b"));
    let first = provider.create(&spec_a);
    let second = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        provider.create(&spec_b).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok());
    assert_eq!(
        brief(&second.unwrap_err()),
        (ErrorClass::LocallyLimited, "LocalWriteGate")
    );
    assert!(provider.create(&spec_b).await.is_ok());
}

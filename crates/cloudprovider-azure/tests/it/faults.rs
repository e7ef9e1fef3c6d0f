//! All kinds of errors that the cloud returns.

use std::collections::BTreeMap;
use std::time::Duration;

use arm_server::control::{Action, Behavior, ClusterView, FaultRule, Named, Verb};
use cloudprovider::{CloudProvider as _, ErrorClass, InstanceState};
use cloudprovider_azure::Settings;

use crate::harness::{SIZE, Stage, brief, spec};

#[tokio::test]
async fn refusals_are_classified() {
    use ErrorClass::*;
    let stage = Stage::new().await;
    let table = [
        (Named::QuotaSync, Quota, "ErrCode_InsufficientVCPUQuota"),
        (Named::QuotaRegionalSync, Quota, "ErrCode_InsufficientVCPUQuota"),
        (Named::SkuNotSupported, SkuUnavailable, "VMSizeNotSupported"),
        (Named::SkuNotAvailable, SkuUnavailable, "SkuNotAvailable"),
        (Named::SkuRestricted, Capacity, "SkuNotAvailable"),
        (Named::BusyPool, Busy, "OperationNotAllowed"),
        (Named::BusyCluster, Busy, "OperationNotAllowed"),
        (Named::BusyEtag, Busy, "EtagMismatch"),
        (Named::Preempted, Busy, "AKSOperationPreempted"),
        (Named::Stopped, ClusterStopped, "OperationNotAllowed"),
        (Named::Throttled, Throttled, "Throttled"),
        (Named::Forbidden, Unauthorized, "AuthorizationFailed"),
        (Named::ClusterMissing, ClusterNotFound, "ResourceNotFound"),
        (Named::ClusterMissingAtProvider, ClusterNotFound, "NotFound"),
        (Named::GroupMissing, ClusterNotFound, "ResourceGroupNotFound"),
        (
            Named::SubscriptionMissing,
            ClusterNotFound,
            "SubscriptionNotFound",
        ),
        (Named::Internal, Transient, "InternalOperationError"),
        (Named::BadGatewayHtml, Transient, "Http502"),
        (Named::Unavailable, Transient, "ServiceUnavailable"),
        (Named::GatewayTimeoutHtml, Transient, "Http504"),
        (Named::Empty500, Transient, "Http500"),
        (Named::Precondition, Precondition, "PreconditionFailed"),
        (Named::PreconditionOnCreate, Precondition, "PreconditionFailed"),
        (Named::LastPool, Invalid, "OperationNotAllowed"),
        (Named::TooManyPools, ClusterFull, "MaxAgentPoolCountReached"),
    ];
    for (named, class, code) in table {
        stage
            .fault(FaultRule::once(Verb::Put, Action::respond(named)))
            .await;
        let error = stage.refused("ws1").await;
        assert_eq!(brief(&error), (class, code), "{named:?}");
        assert!(error.request_id.is_some(), "{named:?}");
    }
    assert_eq!(stage.control.pools().await.unwrap(), []);
}

#[tokio::test]
async fn throttling_says_how_long_where_azure_does() {
    let stage = Stage::new().await;
    let mut waits = Vec::new();
    for (named, retry_after) in [
        (Named::Throttled, Some(90)),
        (Named::ThrottledWithoutHeader, None),
        (Named::ThrottledUntilDate, None),
    ] {
        let action = Action::Respond {
            error: named,
            retry_after,
            apply: false,
        };
        stage.fault(FaultRule::once(Verb::Get, action)).await;
        let error = stage.provider.get("ws1").await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Throttled);
        waits.push(error.retry_after.unwrap().as_secs());
    }
    // The second is read from the text.
    assert_eq!(waits, [90, 1, 2]);
    // The pipeline repeated none of them.
    assert_eq!(stage.control.counters().await.unwrap().by_verb[&Verb::Get], 3);
}

#[tokio::test]
async fn a_spent_quota_is_reported_at_once_or_by_the_operation() {
    let quota = BTreeMap::from([(SIZE.to_owned(), 0)]);
    let stage = Stage::behaving(Behavior {
        quota,
        ..Behavior::quick(20)
    })
    .await;
    assert_eq!(stage.refused("ws1").await.class, ErrorClass::Quota);
    let mut behavior = stage.control.behavior().await.unwrap();
    behavior.quota_async = true;
    stage.control.set_behavior(&behavior).await.unwrap();
    let url = stage.begun("ws1").await;
    stage.until("ws1", &InstanceState::Failed).await;
    let error = stage.failure(&url).await;
    assert_eq!(brief(&error), (ErrorClass::Quota, "OperationNotAllowed"));
    assert!(
        error.message.contains("Cores quota") && error.message.contains("Current Limit: 6"),
        "{error}"
    );
}

#[tokio::test]
async fn failures_of_operations_are_unwrapped() {
    let stage = Stage::new().await;
    let table = [
        ("a", Named::Capacity, ErrorClass::Capacity, "AllocationFailed"),
        (
            "b",
            Named::ZonalCapacity,
            ErrorClass::Capacity,
            "ZonalAllocationFailed",
        ),
        (
            "c",
            Named::SkuNotAvailable,
            ErrorClass::SkuUnavailable,
            "SkuNotAvailable",
        ),
        (
            "d",
            Named::BootstrapFailed,
            ErrorClass::Transient,
            "VMExtensionProvisioningError",
        ),
    ];
    for (name, named, class, code) in table {
        let rule = FaultRule::once(Verb::Put, Action::FailOperation { error: named }).on(name);
        stage.fault(rule).await;
        let url = stage.begun(name).await;
        let error = stage.failure(&url).await;
        assert_eq!(brief(&error), (class, code), "{name}");
    }
}

#[tokio::test]
async fn a_second_write_to_a_busy_pool_conflicts() {
    let stage = Stage::behaving(Behavior {
        delete_ms: 60_000,
        ..Behavior::quick(10)
    })
    .await;
    stage.provider.create(&spec("ws1")).await.unwrap();
    stage.until("ws1", &InstanceState::Succeeded).await;
    stage.provider.delete("ws1", None).await.unwrap();
    let error = stage.provider.delete("ws1", None).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Busy);
    stage
        .cluster(ClusterView {
            busy: true,
            ..ClusterView::default()
        })
        .await;
    assert_eq!(stage.refused("ws2").await.class, ErrorClass::Busy);
}

#[tokio::test]
async fn a_broken_connection_may_hide_a_write_that_happened() {
    let stage = Stage::new().await;
    for (name, apply) in [("lost", false), ("made", true)] {
        let rule = FaultRule::once(Verb::Put, Action::DropConnection { apply }).on(name);
        stage.fault(rule).await;
        assert_eq!(
            brief(&stage.refused(name).await),
            (ErrorClass::Transient, "Transport")
        );
        assert_eq!(stage.provider.get(name).await.is_ok(), apply, "{name}");
    }
    let counters = stage.control.counters().await.unwrap();
    assert_eq!(
        (counters.puts["lost"], counters.puts["made"]),
        (1, 1),
        "nothing is repeated"
    );
    assert_eq!(
        stage.refused("made").await.class,
        ErrorClass::Precondition,
        "asking again does no harm"
    );
}

#[tokio::test]
async fn requests_end_in_time_even_unanswered() {
    let stage = Stage::new().await;
    let settings = Settings {
        // Short, and long enough for the answers of a busy machine.
        put_timeout: Duration::from_millis(800),
        timeout: Duration::from_millis(400),
        ..stage.args.settings()
    };
    let provider = stage.provider_with(settings);
    provider.list().await.unwrap();
    let unanswered = |verb| FaultRule::once(verb, Action::NeverAnswer { apply: true });
    stage.fault(unanswered(Verb::Put)).await;
    stage.fault(unanswered(Verb::Get)).await;
    let error = provider.create(&spec("ws1")).await.unwrap_err();
    assert_eq!(brief(&error), (ErrorClass::Transient, "Timeout"));
    assert_eq!(provider.get("ws1").await.unwrap_err().code, "Timeout");
    // Not with the short timeout, which a busy machine may exceed.
    assert!(stage.provider.get("ws1").await.is_ok(), "the write was applied");
}

#[tokio::test]
async fn an_answer_that_comes_late_is_taken() {
    let stage = Stage::new().await;
    stage
        .fault(FaultRule::once(Verb::Put, Action::Delay { millis: 50 }))
        .await;
    assert!(stage.provider.create(&spec("ws1")).await.is_ok());
}

#[tokio::test]
async fn a_listing_may_lag_behind() {
    let stage = Stage::behaving(Behavior {
        list_lag_ms: 60_000,
        ..Behavior::quick(10)
    })
    .await;
    stage.provider.create(&spec("ws1")).await.unwrap();
    assert_eq!(stage.provider.list().await.unwrap(), []);
    assert!(stage.provider.get("ws1").await.is_ok());
}

#[tokio::test]
async fn malformed_bodies_are_unreadable() {
    let stage = Stage::new().await;
    for body in ["", "<html>", "{}", "[]", r#"{"name":null}"#] {
        let action = Action::Raw {
            status: 200,
            body: body.to_owned(),
        };
        stage.fault(FaultRule::once(Verb::Get, action)).await;
        let error = stage.provider.get("ws1").await.unwrap_err();
        assert_eq!(
            brief(&error),
            (ErrorClass::Transient, "UnreadableAnswer"),
            "{body}"
        );
    }
}

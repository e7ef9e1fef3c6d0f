//! Access tokens: fetched, cached, refused and renewed.

use arm_server::ArmServerConfig;
use arm_server::control::{Action, Behavior, FaultRule, Named, Verb};
use cloudprovider::{CloudProvider as _, ErrorClass};

use crate::harness::{Stage, brief, spec};

#[tokio::test]
async fn one_token_serves_many_requests() {
    let stage = Stage::new().await;
    for _ in 0..5 {
        stage.provider.list().await.unwrap();
    }
    assert_eq!(stage.control.counters().await.unwrap().by_verb[&Verb::Token], 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_request_repeated() {
    let stage = Stage::new().await;
    stage.provider.list().await.unwrap();
    stage.control.revoke_tokens().await.unwrap();
    assert!(stage.provider.create(&spec("ws1")).await.is_ok());
    let counters = stage.control.counters().await.unwrap();
    assert_eq!((counters.by_verb[&Verb::Token], counters.puts["ws1"]), (2, 2));
}

#[tokio::test]
async fn a_lasting_refusal_is_an_error_after_one_more_try() {
    let stage = Stage::new().await;
    let rule = FaultRule {
        count: None,
        ..FaultRule::once(Verb::Put, Action::respond(Named::Unauthorized))
    };
    stage.control.add_fault(&rule).await.unwrap();
    let error = stage.refused("ws1").await;
    assert_eq!(
        brief(&error),
        (ErrorClass::Unauthorized, "InvalidAuthenticationToken")
    );
    assert_eq!(stage.control.counters().await.unwrap().puts["ws1"], 2);
}

#[tokio::test]
async fn a_rotated_assertion_is_read_again() {
    let stage = Stage::new().await;
    stage.provider.list().await.unwrap();
    std::fs::write(stage.dir.path().join("token"), "assertion-2").unwrap();
    stage.control.revoke_tokens().await.unwrap();
    assert!(stage.provider.list().await.is_ok());
}

#[tokio::test]
async fn tokens_that_are_about_to_end_are_replaced() {
    let config = ArmServerConfig {
        token_seconds: 1,
        ..ArmServerConfig::default()
    };
    let stage = Stage::with(Behavior::quick(10), config).await;
    for _ in 0..3 {
        stage.provider.list().await.unwrap();
    }
    assert!(stage.control.counters().await.unwrap().by_verb[&Verb::Token] >= 3);
}

#[tokio::test]
async fn a_refused_identity_is_reported_with_the_directorys_number() {
    let config = ArmServerConfig {
        client_id: Some("somebody else".into()),
        ..ArmServerConfig::default()
    };
    let stage = Stage::with(Behavior::quick(10), config).await;
    let error = stage.provider.list().await.unwrap_err();
    assert_eq!(brief(&error), (ErrorClass::Unauthorized, "AADSTS700016"));
    assert!(!error.to_string().contains("assertion-1"), "{error}");
}

#[tokio::test]
async fn a_token_service_that_is_down_passes() {
    let stage = Stage::new().await;
    stage
        .control
        .add_fault(&FaultRule::once(Verb::Token, Action::respond(Named::Unavailable)))
        .await
        .unwrap();
    assert_eq!(
        stage.provider.list().await.unwrap_err().class,
        ErrorClass::Transient
    );
    assert!(stage.provider.list().await.is_ok());
}

#[tokio::test]
async fn a_cloud_that_is_away_passes_too() {
    let stage = Stage::new().await;
    let Stage { server, provider, .. } = stage;
    provider.list().await.unwrap();
    server.shutdown().await;
    let error = provider.list().await.unwrap_err();
    assert_eq!(brief(&error), (ErrorClass::Transient, "Transport"));
}

//! Life of a pool: created, listed, deleted.

use std::collections::BTreeMap;

use arm_server::control::{Behavior, ClusterView, Named, PoolEdit, Verb};
use cloudprovider::{CloudProvider as _, ErrorClass, InstanceState, OperationStatus, Ownership};

use serde_json::json;

use crate::harness::{SIZE, Stage, brief, spec};

#[tokio::test]
async fn a_pool_is_made_and_deleted() {
    let stage = Stage::new().await;
    let accepted = stage.provider.create(&spec("ws1")).await.unwrap();
    let made = accepted.instance.unwrap();
    assert_eq!(
        (made.name.as_str(), &made.state),
        ("ws1", &InstanceState::Creating)
    );
    let url = accepted.operation_url.unwrap();
    assert!(url.contains(accepted.request_id.as_deref().unwrap()), "{url}");

    let done = stage.until("ws1", &InstanceState::Succeeded).await;
    assert_eq!(stage.outcome(&url).await, OperationStatus::Succeeded(None));
    let shown = stage.control.pools().await.unwrap().remove(0).body;
    assert_eq!(
        (
            &shown["properties"]["count"],
            done.instance_type.as_deref(),
            &shown["properties"]["mode"]
        ),
        (&json!(1), Some(SIZE), &json!("User"))
    );
    let mut labels = spec("ws1").labels;
    labels.insert("kaito.sh/machine-type".into(), "gpu".into());
    assert_eq!(
        (&done.labels, &done.taints, &shown["properties"]["tags"]),
        (&labels, &spec("ws1").taints, &json!(spec("ws1").tags))
    );
    assert_eq!(
        done.owner,
        Ownership::Ours {
            claim_uid: "u1".into()
        }
    );
    assert_ne!(
        done.version, made.version,
        "the entity tag changes when the operation is done"
    );
    assert!(done.image.is_some());

    let stale = stage
        .provider
        .delete("ws1", made.version.as_deref())
        .await
        .unwrap_err();
    assert_eq!(brief(&stale), (ErrorClass::Precondition, "PreconditionFailed"));
    let deletion = stage
        .provider
        .delete("ws1", done.version.as_deref())
        .await
        .unwrap();
    // A busy machine may have deleted it by now.
    match stage.provider.get("ws1").await {
        Ok(instance) => assert_eq!(instance.state, InstanceState::Deleting),
        Err(error) => assert_eq!(brief(&error), (ErrorClass::NotFound, "NotFound")),
    }
    assert_eq!(
        stage.outcome(&deletion.operation_url.unwrap()).await,
        OperationStatus::Succeeded(None)
    );
    let gone = stage.until_gone("ws1").await;
    assert_eq!(brief(&gone), (ErrorClass::NotFound, "NotFound"));
    assert!(
        gone.message.starts_with("Could not find the agentpool: ws1"),
        "{gone}"
    );
    assert_eq!(
        stage.provider.delete("ws1", None).await.unwrap_err().class,
        ErrorClass::NotFound
    );
    assert_eq!(stage.control.counters().await.unwrap().puts["ws1"], 1);
}

#[tokio::test]
async fn an_existing_pool_is_never_overwritten() {
    let stage = Stage::new().await;
    let foreign = PoolEdit {
        mode: Some("System".into()),
        tags: Some(BTreeMap::new()),
        ..PoolEdit::default()
    };
    stage.control.edit_pool("ws1", &foreign).await.unwrap();
    let before = stage.control.pools().await.unwrap();
    assert_eq!(
        brief(&stage.refused("ws1").await),
        (ErrorClass::Precondition, "PreconditionFailed")
    );
    assert_eq!(stage.control.pools().await.unwrap(), before);
    assert_eq!(stage.provider.get("ws1").await.unwrap().owner, Ownership::Foreign);
}

#[tokio::test]
async fn every_page_is_listed_and_the_last_is_empty() {
    let stage = Stage::behaving(Behavior {
        page_size: Some(2),
        ..Behavior::quick(0)
    })
    .await;
    assert_eq!(stage.provider.list().await.unwrap(), []);
    assert_eq!(stage.control.counters().await.unwrap().by_verb[&Verb::List], 2);
    for name in ["a", "b", "c", "d", "e"] {
        stage.control.edit_pool(name, &PoolEdit::default()).await.unwrap();
    }
    let names: Vec<String> = stage
        .provider
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|pool| pool.name)
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(stage.control.counters().await.unwrap().by_verb[&Verb::List], 6);
}

#[tokio::test]
async fn a_page_that_fails_fails_the_listing() {
    use arm_server::control::{Action, FaultRule};
    let stage = Stage::new().await;
    let rule = FaultRule {
        skip: 1,
        ..FaultRule::once(Verb::List, Action::respond(Named::BadGatewayHtml))
    };
    stage.fault(rule).await;
    assert_eq!(
        stage.provider.list().await.unwrap_err().class,
        ErrorClass::Transient
    );
    assert!(stage.provider.list().await.is_ok());
}

#[tokio::test]
async fn a_missing_cluster_is_not_a_missing_pool() {
    let stage = Stage::new().await;
    let absent = stage.provider.get("ws1").await.unwrap_err();
    assert_eq!(absent.class, ErrorClass::NotFound);
    stage
        .cluster(ClusterView {
            missing: true,
            ..ClusterView::default()
        })
        .await;
    let calls = [
        stage.provider.get("ws1").await.unwrap_err(),
        stage.provider.list().await.unwrap_err(),
        stage.provider.delete("ws1", None).await.unwrap_err(),
        stage.refused("ws1").await,
    ];
    for error in calls {
        assert_eq!(brief(&error), (ErrorClass::ClusterNotFound, "ResourceNotFound"));
    }
}

#[tokio::test]
async fn a_running_operation_can_be_aborted() {
    let stage = Stage::behaving(Behavior {
        create_ms: 60_000,
        ..Behavior::quick(20)
    })
    .await;
    let creation = stage.begun("ws1").await;
    assert_eq!(
        stage.provider.operation(&creation).await.unwrap(),
        OperationStatus::Running("InProgress".into(), None)
    );
    let abort = stage.provider.abort("ws1").await.unwrap();
    assert_eq!(abort.instance.unwrap().name, "ws1");
    stage.until("ws1", &InstanceState::Canceled).await;
    let error = stage.failure(&creation).await;
    assert_eq!(error.code, "Canceled");
    assert_eq!(
        stage.provider.abort("ws1").await.unwrap_err().class,
        ErrorClass::Busy
    );
    assert_eq!(
        stage.provider.abort("none").await.unwrap_err().class,
        ErrorClass::NotFound
    );
}

#[tokio::test]
async fn a_deletion_may_overtake_a_creation() {
    let stage = Stage::behaving(Behavior {
        create_ms: 60_000,
        ..Behavior::quick(20)
    })
    .await;
    let creation = stage.begun("ws1").await;
    stage.provider.delete("ws1", None).await.unwrap();
    let error = stage.failure(&creation).await;
    assert_eq!(brief(&error), (ErrorClass::Busy, "AKSOperationPreemptedByDelete"));
    stage.until_gone("ws1").await;
}

#[tokio::test]
async fn answers_that_point_elsewhere_are_not_followed() {
    use arm_server::control::{Action, FaultRule};
    let stage = Stage::new().await;
    let body = r#"{"value":[],"nextLink":"http://127.0.0.1:1/steal"}"#.to_owned();
    let rule = FaultRule::once(Verb::List, Action::Raw { status: 200, body });
    stage.fault(rule).await;
    let error = stage.provider.list().await.unwrap_err();
    assert_eq!(brief(&error), (ErrorClass::Invalid, "ForeignUrl"));
    let error = stage
        .provider
        .operation("http://127.0.0.1:1/operations/x")
        .await
        .unwrap_err();
    assert_eq!(error.code, "ForeignUrl");
}

#[tokio::test]
async fn an_operation_that_is_forgotten_is_not_found() {
    let stage = Stage::new().await;
    let url = format!(
        "{}/subscriptions/{}/providers/Microsoft.ContainerService/locations/eastus/operations/gone?api-version=2025-03-01",
        stage.server.url(),
        stage.args.arm_subscription_id
    );
    assert_eq!(
        stage.provider.operation(&url).await.unwrap_err().class,
        ErrorClass::NotFound
    );
}

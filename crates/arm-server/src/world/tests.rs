//! Tests of the simulated cloud with a clock of their own.

use super::*;
use crate::envelope::ErrorBody;
use serde_json::json;

const CREATE: u64 = 100;

fn world(behavior: Behavior) -> World {
    World::new(
        &ArmServerConfig {
            behavior,
            ..ArmServerConfig::default()
        },
        Timestamp::UNIX_EPOCH,
    )
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn sent(vm_size: &str) -> Value {
    json!({"properties": {"vmSize": vm_size, "nodeLabels": {"a": "b"}, "nodeTaints": ["sku=gpu:NoSchedule"]}})
}

fn put(world: &mut World, at: u64, name: &str) -> Result<Reply, ArmError> {
    world.advance(ms(at));
    world.put(
        ms(at),
        name,
        &sent("Standard_NC24ads_A100_v4"),
        &Condition::default(),
        None,
        true,
    )
}

fn state(world: &World, name: &str) -> String {
    world
        .view()
        .into_iter()
        .find(|pool| pool.name == name)
        .map(|pool| pool.state)
        .unwrap_or_default()
}

fn code(error: &ArmError) -> String {
    match &error.body {
        ErrorBody::Flat(value) | ErrorBody::Nested(value) => value["code"].as_str().unwrap().to_owned(),
        other => format!("{other:?}"),
    }
}

fn status(world: &World, reply: &Reply) -> Value {
    let (id, seal) = reply.operation.clone().unwrap();
    world
        .operation(&id, &format!("api-version=2025-03-01&{seal}"))
        .unwrap()
        .body
        .unwrap()
}

#[test]
fn a_pool_is_made_and_its_etag_changes_when_it_is_done() {
    let mut world = world(Behavior::quick(CREATE));
    let reply = put(&mut world, 0, "a").unwrap();
    assert_eq!(reply.status, 201);
    let first = reply.body.as_ref().unwrap()["properties"]["eTag"].clone();
    assert_eq!(status(&world, &reply)["status"], "InProgress");
    assert_eq!(world.next_due(), Some(ms(CREATE)));
    world.advance(ms(CREATE));
    assert_eq!(status(&world, &reply)["status"], "Succeeded");
    let body = world.get(ms(CREATE), "a", true).unwrap().body.unwrap();
    assert_eq!(body["properties"]["provisioningState"], "Succeeded");
    assert_ne!(body["properties"]["eTag"], first);
    assert!(body["id"].as_str().unwrap().contains("/resourcegroups/"));
    assert_eq!(put(&mut world, CREATE, "a").unwrap().status, 200);
    assert_eq!(state(&world, "a"), "Updating");
}

#[test]
fn writes_to_a_busy_pool_conflict_and_to_others_do_not() {
    let mut world = world(Behavior::quick(CREATE));
    put(&mut world, 0, "a").unwrap();
    assert_eq!(code(&put(&mut world, 1, "a").unwrap_err()), "OperationNotAllowed");
    assert!(put(&mut world, 1, "b").is_ok());
    world.behavior.one_write_at_a_time = true;
    assert_eq!(put(&mut world, 2, "c").unwrap_err().status, 409);
    assert!(put(&mut world, 500, "c").is_ok());
}

#[test]
fn preconditions_are_kept() {
    let mut world = world(Behavior::quick(CREATE));
    let absent = Condition {
        if_none_match: Some("*".into()),
        if_match: None,
    };
    let body = sent("S");
    assert!(world.put(ms(0), "a", &body, &absent, None, true).is_ok());
    world.advance(ms(CREATE));
    assert_eq!(
        world
            .put(ms(CREATE), "a", &body, &absent, None, true)
            .unwrap_err()
            .status,
        412
    );
    let stale = Condition {
        if_match: Some("stale".into()),
        if_none_match: None,
    };
    assert_eq!(
        world.delete(ms(CREATE), "a", &stale, None).unwrap_err().status,
        412
    );
    assert_eq!(
        world
            .put(ms(CREATE), "new", &body, &stale, None, true)
            .unwrap_err()
            .status,
        412
    );
    let fresh = Condition {
        if_match: Some(world.view()[0].etag.clone()),
        if_none_match: None,
    };
    assert_eq!(world.delete(ms(CREATE), "a", &fresh, None).unwrap().status, 202);
}

#[test]
fn a_deletion_overtakes_a_creation() {
    let mut world = world(Behavior::quick(CREATE));
    let creation = put(&mut world, 0, "a").unwrap();
    let deletion = world.delete(ms(10), "a", &Condition::default(), None).unwrap();
    assert_eq!(
        status(&world, &creation)["error"]["code"],
        "AKSOperationPreemptedByDelete"
    );
    assert_eq!(
        world
            .delete(ms(11), "a", &Condition::default(), None)
            .unwrap_err()
            .status,
        409
    );
    world.advance(ms(10 + CREATE));
    assert_eq!(status(&world, &deletion)["status"], "Succeeded");
    assert_eq!(world.get(ms(500), "a", true).unwrap_err().status, 404);
    assert_eq!(
        world
            .delete(ms(500), "a", &Condition::default(), None)
            .unwrap()
            .status,
        204
    );
    world.behavior.delete_while_creating = false;
    put(&mut world, 500, "b").unwrap();
    assert_eq!(
        world
            .delete(ms(501), "b", &Condition::default(), None)
            .unwrap_err()
            .status,
        409
    );
}

#[test]
fn an_abort_cancels() {
    let mut world = world(Behavior::quick(CREATE));
    let creation = put(&mut world, 0, "a").unwrap();
    assert_eq!(world.abort(ms(10), "a", true).unwrap().status, 202);
    assert_eq!(status(&world, &creation)["status"], "Canceled");
    world.advance(ms(10 + CREATE));
    assert_eq!(state(&world, "a"), "Canceled");
    assert_eq!(world.abort(ms(500), "a", true).unwrap_err().status, 409);
    assert_eq!(world.abort(ms(500), "none", true).unwrap_err().status, 404);
}

#[test]
fn quota_is_refused_at_once_or_found_later() {
    let quota = BTreeMap::from([("standard_nc24ads_a100_v4".to_owned(), 1)]);
    let mut world = world(Behavior {
        quota,
        ..Behavior::quick(CREATE)
    });
    put(&mut world, 0, "a").unwrap();
    assert_eq!(
        code(&put(&mut world, 0, "b").unwrap_err()),
        "ErrCode_InsufficientVCPUQuota"
    );
    world.behavior.quota_async = true;
    let reply = put(&mut world, 0, "b").unwrap();
    world.advance(ms(CREATE));
    assert_eq!(
        (state(&world, "a").as_str(), state(&world, "b").as_str()),
        ("Succeeded", "Failed")
    );
    assert_eq!(
        status(&world, &reply)["error"]["details"][0]["code"],
        "OperationNotAllowed"
    );
}

#[test]
fn listings_have_pages_and_may_lag() {
    let mut world = world(Behavior {
        page_size: Some(2),
        list_lag_ms: 50,
        ..Behavior::quick(CREATE)
    });
    for name in ["a", "b", "c"] {
        put(&mut world, 0, name).unwrap();
    }
    assert_eq!(world.list(ms(49), 0, true).0.len(), 0);
    let (page, next) = world.list(ms(50), 0, true);
    assert_eq!((page.len(), next), (2, Some(2)));
    let (page, next) = world.list(ms(50), 2, true);
    assert_eq!((page.len(), next), (1, Some(3)));
    assert_eq!(world.list(ms(50), 3, true), (vec![], None));
    world.vanish(ms(200), "a");
    assert_eq!(world.list(ms(200), 0, true).0[0]["name"], "a");
    world.advance(ms(250));
    assert_eq!(world.list(ms(250), 0, true).0[0]["name"], "b");
}

#[test]
fn an_empty_cluster_has_two_pages_too() {
    let world = world(Behavior::default());
    assert_eq!(world.list(ms(0), 0, true), (vec![], Some(1)));
    assert_eq!(world.list(ms(0), 1, true), (vec![], None));
}

#[test]
fn nodes_boot_when_told_and_go_with_their_pool() {
    let boot = vec![
        crate::config::BootRule {
            pool: "never".into(),
            mode: crate::config::BootMode::Never,
            delay_ms: 0,
        },
        crate::config::BootRule {
            pool: "early".into(),
            delay_ms: -40,
            ..Default::default()
        },
    ];
    let mut world = world(Behavior {
        boot,
        node_delete_ms: 30,
        ..Behavior::quick(CREATE)
    });
    for name in ["never", "early", "usual"] {
        put(&mut world, 0, name).unwrap();
    }
    let made = |world: &mut World, at: u64| -> Vec<NodeTask> {
        world.advance(ms(at));
        world.node_tasks(ms(at))
    };
    assert_eq!(made(&mut world, 59), []);
    let early = made(&mut world, 60);
    let [NodeTask::Make(node)] = early.as_slice() else {
        panic!("{early:?}")
    };
    assert!(
        node.name.starts_with("aks-early-") && node.name.ends_with("-vmss000000"),
        "{}",
        node.name
    );
    assert!(
        node.provider_id.starts_with("azure:///subscriptions/")
            && node.provider_id.ends_with("/virtualMachines/0")
    );
    assert_eq!(node.taints, ["sku=gpu:NoSchedule"]);
    assert_eq!(made(&mut world, 100).len(), 1);
    world
        .delete(ms(200), "early", &Condition::default(), None)
        .unwrap();
    assert_eq!(made(&mut world, 300), []);
    assert_eq!(made(&mut world, 330), [NodeTask::Remove(node.name.clone())]);
    assert!(!world.wants_node(&node.name));
}

#[test]
fn what_is_missing_is_named() {
    let mut world = world(Behavior::default());
    let site = world.site.clone();
    let there = (site.resource_group.to_uppercase(), site.cluster.to_uppercase());
    assert!(
        world
            .locate(&site.subscription.to_uppercase(), Some(&there))
            .is_ok()
    );
    assert_eq!(
        code(&world.locate("x", None).unwrap_err()),
        "SubscriptionNotFound"
    );
    let group = ("x".to_owned(), site.cluster.clone());
    assert_eq!(
        code(&world.locate(&site.subscription, Some(&group)).unwrap_err()),
        "ResourceGroupNotFound"
    );
    world.state.missing = true;
    assert_eq!(
        code(&world.locate(&site.subscription, Some(&there)).unwrap_err()),
        "ResourceNotFound"
    );
}

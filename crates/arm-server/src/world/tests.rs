//! Tests of the simulated cloud with a clock of their own.

use super::*;
use crate::envelope::ErrorBody;
use serde_json::json;

const CREATE: u64 = 100;

/// A world of this behavior.
pub(super) fn world(behavior: Behavior) -> World {
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
        world
            .delete(ms(CREATE), "a", &stale, None, true)
            .unwrap_err()
            .status,
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
    assert_eq!(
        world.delete(ms(CREATE), "a", &fresh, None, true).unwrap().status,
        202
    );
}

#[test]
fn a_deletion_overtakes_a_creation() {
    let mut world = world(Behavior::quick(CREATE));
    let creation = put(&mut world, 0, "a").unwrap();
    let deletion = world
        .delete(ms(10), "a", &Condition::default(), None, true)
        .unwrap();
    assert_eq!(
        status(&world, &creation)["error"]["code"],
        "AKSOperationPreemptedByDelete"
    );
    assert_eq!(
        world
            .delete(ms(11), "a", &Condition::default(), None, true)
            .unwrap_err()
            .status,
        409
    );
    world.advance(ms(10 + CREATE));
    assert_eq!(status(&world, &deletion)["status"], "Succeeded");
    assert_eq!(world.get(ms(500), "a", true).unwrap_err().status, 404);
    assert_eq!(
        world
            .delete(ms(500), "a", &Condition::default(), None, true)
            .unwrap()
            .status,
        204
    );
    world.behavior.delete_while_creating = false;
    put(&mut world, 500, "b").unwrap();
    assert_eq!(
        world
            .delete(ms(501), "b", &Condition::default(), None, true)
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
    assert_eq!(
        state(&world, "a"),
        "Creating",
        "no word says that it is being canceled"
    );
    world.advance(ms(10 + CREATE));
    assert_eq!(state(&world, "a"), "Canceled");
    assert_eq!(world.abort(ms(500), "a", true).unwrap_err().status, 409);
    assert_eq!(world.abort(ms(500), "none", true).unwrap_err().status, 404);
}

#[test]
fn quota_is_refused_at_once_or_found_later() {
    let quota = BTreeMap::from([("standard_nc24ads_a100_v4".to_owned(), 30)]);
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
        .delete(ms(200), "early", &Condition::default(), None, true)
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

#[test]
fn a_failed_pool_keeps_its_reason_until_an_operation_succeeds() {
    let mut world = world(Behavior::quick(CREATE));
    let error = world.error(Named::Capacity, Some("a"));
    let scripted = Scripted::Fail(error);
    world
        .put(
            ms(0),
            "a",
            &sent("S"),
            &Condition::default(),
            Some(&scripted),
            true,
        )
        .unwrap();
    let reason = |world: &World, at: u64| {
        let body = world.get(ms(at), "a", true).unwrap().body.unwrap();
        body["properties"]["status"]["provisioningError"]["details"][0]["code"].clone()
    };
    assert_eq!(reason(&world, 0), Value::Null);
    world.advance(ms(CREATE));
    assert_eq!(reason(&world, CREATE), "AllocationFailed");
    put(&mut world, CREATE, "a").unwrap();
    world.advance(ms(2 * CREATE));
    assert_eq!(reason(&world, 2 * CREATE), Value::Null);
}

#[test]
fn pools_and_the_cluster_stop_and_start() {
    let mut world = world(Behavior::quick(CREATE));
    put(&mut world, 0, "a").unwrap();
    let tasks = |world: &mut World, at: u64| {
        world.advance(ms(at));
        world.node_tasks(ms(at)).len()
    };
    assert_eq!(tasks(&mut world, CREATE), 1);
    let power = |world: &World| world.view()[0].body["properties"]["powerState"]["code"].clone();
    let mut stop = sent("Standard_NC24ads_A100_v4");
    stop["properties"]["powerState"] = json!({"code": "Stopped"});
    let reply = world
        .put(ms(200), "a", &stop, &Condition::default(), None, true)
        .unwrap();
    assert_eq!((reply.status, state(&world, "a")), (200, "Stopping".to_owned()));
    assert_eq!(tasks(&mut world, 300), 1, "the node goes");
    assert_eq!(
        (state(&world, "a"), power(&world)),
        ("Succeeded".to_owned(), json!("Stopped"))
    );
    put(&mut world, 400, "a").unwrap();
    assert_eq!(state(&world, "a"), "Starting");
    assert_eq!(tasks(&mut world, 500), 1, "a node boots");
    assert_eq!(
        (state(&world, "a"), power(&world)),
        ("Succeeded".to_owned(), json!("Running"))
    );
    world.turn_cluster(ms(600), true);
    assert_eq!(tasks(&mut world, 700), 1);
    assert_eq!(power(&world), "Stopped");
    assert_eq!(
        code(&put(&mut world, 700, "b").unwrap_err()),
        "OperationNotAllowed"
    );
    world.turn_cluster(ms(800), false);
    assert_eq!(tasks(&mut world, 900), 1);
    assert!(put(&mut world, 900, "b").is_ok());
}

#[test]
fn a_disruption_budget_holds_a_deletion_that_does_not_ignore_it() {
    let mut world = world(Behavior {
        held_by_budget: vec!["a*".into()],
        ..Behavior::quick(CREATE)
    });
    put(&mut world, 0, "a").unwrap();
    world.advance(ms(CREATE));
    let reply = world
        .delete(ms(CREATE), "a", &Condition::default(), None, false)
        .unwrap();
    world.advance(ms(2 * CREATE));
    assert_eq!(
        (
            state(&world, "a"),
            status(&world, &reply)["error"]["code"].clone()
        ),
        ("Failed".to_owned(), json!("PodDrainFailure"))
    );
    world
        .delete(ms(2 * CREATE), "a", &Condition::default(), None, true)
        .unwrap();
    world.advance(ms(3 * CREATE));
    assert_eq!(state(&world, "a"), "");
}

#[test]
fn documents_of_operations_are_as_odd_as_recorded() {
    let mut world = world(Behavior {
        early_error: Some(Named::BusyEtag),
        end_time: crate::config::EndTime::Early,
        ..Behavior::quick(CREATE)
    });
    let reply = put(&mut world, 0, "a").unwrap();
    let document = status(&world, &reply);
    assert_eq!(document["status"], "InProgress");
    assert!(document["endTime"].is_string() && document["error"]["code"] == "EtagMismatch");
    world.behavior.end_time = crate::config::EndTime::Never;
    world.advance(ms(CREATE));
    let document = status(&world, &reply);
    assert_eq!(document["status"], "Succeeded");
    assert!(document["endTime"].is_null() && document["error"]["code"] == "EtagMismatch");
    let (id, seal) = reply.operation.unwrap();
    let result = world.operation_result(&id, &seal).unwrap();
    assert!(result.status == 204 && result.location && result.operation.is_some());
}

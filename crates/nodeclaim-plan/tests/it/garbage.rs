//! Pools and Nodes whose Machine is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::{Instance, InstanceLookup, InstanceState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nodeclaim_plan::Settings;
use nodeclaim_plan::garbage::collect;

use crate::fixtures::{NAME, NODE, deeds, foreign_pool, machine, node, orphan_plan, pool, t, upstream_pool};

fn ours() -> Instance {
    let mut pool = pool(InstanceState::Succeeded);
    pool.cluster_id = Some("c1".into());
    pool
}

#[track_caller]
fn check(pool: Instance, uid: &str, seen: i64, expect: usize) {
    let settings = Settings {
        cluster_id: "c1".into(),
        ..Settings::default()
    };
    let mut machine = machine();
    machine.metadata.uid = Some(uid.into());
    let first_seen = BTreeMap::from([(pool.name.clone(), t(-seen))]);
    let calls = collect(t(0), &[Arc::new(pool)], &[machine.into()], &first_seen, &settings);
    assert_eq!(calls.len(), expect, "{calls:?}");
}

#[test]
fn only_our_own_orphans_are_collected() {
    check(ours(), "another", 120, 1);
    check(ours(), crate::fixtures::UID, 120, 0);
    check(ours(), "another", 119, 0);
    check(pool(InstanceState::Succeeded), "another", 120, 0);
    check(
        Instance {
            state: InstanceState::Deleting,
            ..ours()
        },
        "another",
        120,
        0,
    );
    check(
        Instance {
            state: InstanceState::Creating,
            ..ours()
        },
        "another",
        120,
        1,
    );
    check(foreign_pool(InstanceState::Succeeded), "another", 120, 0);
    check(upstream_pool(InstanceState::Succeeded), "another", 120, 0);
}

#[test]
fn a_pool_we_never_saw_before_stays_and_a_pass_deletes_few() {
    let settings = Settings {
        cluster_id: "c1".into(),
        ..Settings::default()
    };
    let pools: Vec<_> = (0..20)
        .map(|i| {
            Arc::new(Instance {
                name: format!("p{i}"),
                ..ours()
            })
        })
        .collect();
    assert_eq!(collect(t(0), &pools, &[], &BTreeMap::new(), &settings), []);
    let first_seen = pools.iter().map(|pool| (pool.name.clone(), t(-600))).collect();
    assert_eq!(collect(t(0), &pools, &[], &first_seen, &settings).len(), 5);
}

#[test]
fn an_orphaned_node_goes_when_its_pool_is_gone() {
    let found = |pool: Instance| InstanceLookup::Found(Arc::new(pool));
    let mut deleting = node();
    deleting.metadata.deletion_timestamp = Some(Time(t(0)));
    let both = format!("patch Node {NODE}, delete Node {NODE}");
    let one = format!("patch Node {NODE}");
    for (node, machine_exists, pool, expect) in [
        (node(), false, InstanceLookup::Absent { reads: 2 }, both.as_str()),
        (deleting.clone(), false, InstanceLookup::Absent { reads: 2 }, &one),
        (deleting.clone(), false, InstanceLookup::Absent { reads: 1 }, ""),
        (deleting.clone(), false, InstanceLookup::Unknown, ""),
        (deleting.clone(), true, InstanceLookup::Absent { reads: 4 }, ""),
        (deleting.clone(), false, found(ours()), ""),
        (
            deleting,
            false,
            found(foreign_pool(InstanceState::Succeeded)),
            &one,
        ),
        (node(), false, found(foreign_pool(InstanceState::Succeeded)), ""),
    ] {
        let plan = orphan_plan(&node, machine_exists, &pool);
        assert_eq!(deeds(&plan), expect, "{machine_exists} {pool:?}");
        assert_eq!(plan_check::check(&plan), []);
    }
    let mut unmanaged = node();
    unmanaged.metadata.labels = Some([("agentpool".into(), NAME.into())].into());
    assert_eq!(
        deeds(&orphan_plan(
            &unmanaged,
            false,
            &InstanceLookup::Absent { reads: 4 }
        )),
        ""
    );
}

//! Instances and Nodes whose claim is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::{Instance, InstanceLookup, InstanceState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nodeclaim_plan::Settings;
use nodeclaim_plan::garbage::collect;

use crate::fixtures::{
    NAME, NODE, deeds, foreign_instance, instance, machine, node, orphan_plan, t, upstream_instance,
};

fn ours() -> Instance {
    let mut instance = instance(InstanceState::Succeeded);
    instance.cluster_id = Some("c1".into());
    instance
}

#[track_caller]
fn check(instance: Instance, uid: &str, seen: i64, expect: usize) {
    let settings = Settings {
        cluster_id: "c1".into(),
        ..Settings::default()
    };
    let mut machine = machine();
    machine.metadata.uid = Some(uid.into());
    let first_seen = BTreeMap::from([(instance.name.clone(), t(-seen))]);
    let calls = collect(
        t(0),
        &[Arc::new(instance)],
        &[machine.into()],
        &first_seen,
        &settings,
    );
    assert_eq!(calls.len(), expect, "{calls:?}");
}

#[test]
fn only_our_own_orphans_are_collected() {
    check(ours(), "another", 120, 1);
    check(ours(), crate::fixtures::UID, 120, 0);
    check(ours(), "another", 119, 0);
    check(instance(InstanceState::Succeeded), "another", 120, 0);
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
    check(foreign_instance(InstanceState::Succeeded), "another", 120, 0);
    check(upstream_instance(InstanceState::Succeeded), "another", 120, 0);
}

#[test]
fn a_instance_we_never_saw_before_stays_and_a_pass_deletes_few() {
    let settings = Settings {
        cluster_id: "c1".into(),
        ..Settings::default()
    };
    let instances: Vec<_> = (0..20)
        .map(|i| {
            Arc::new(Instance {
                name: format!("p{i}"),
                ..ours()
            })
        })
        .collect();
    assert_eq!(collect(t(0), &instances, &[], &BTreeMap::new(), &settings), []);
    let first_seen = instances
        .iter()
        .map(|instance| (instance.name.clone(), t(-600)))
        .collect();
    assert_eq!(collect(t(0), &instances, &[], &first_seen, &settings).len(), 5);
}

#[test]
fn an_orphaned_node_goes_when_its_instance_is_gone() {
    let found = |instance: Instance| InstanceLookup::Found(Arc::new(instance));
    let mut deleting = node();
    deleting.metadata.deletion_timestamp = Some(Time(t(0)));
    let both = format!("patch Node {NODE}, delete Node {NODE}");
    let one = format!("patch Node {NODE}");
    for (node, machine_exists, instance, expect) in [
        (node(), false, InstanceLookup::Absent { reads: 2 }, both.as_str()),
        (deleting.clone(), false, InstanceLookup::Absent { reads: 2 }, &one),
        (deleting.clone(), false, InstanceLookup::Absent { reads: 1 }, ""),
        (deleting.clone(), false, InstanceLookup::Unknown, ""),
        (deleting.clone(), true, InstanceLookup::Absent { reads: 4 }, ""),
        (deleting.clone(), false, found(ours()), ""),
        (
            deleting,
            false,
            found(foreign_instance(InstanceState::Succeeded)),
            &one,
        ),
        (
            node(),
            false,
            found(foreign_instance(InstanceState::Succeeded)),
            "",
        ),
    ] {
        let plan = orphan_plan(&node, machine_exists, &instance);
        assert_eq!(deeds(&plan), expect, "{machine_exists} {instance:?}");
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

//! Quota and restrictions that are known before anything is bought. The cloud is not asked for what it would refuse, and wrong
//! facts stop no Workspace.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::capacity::{CapacityRecord, TypeCapacity, VcpuQuota};
use plan::Kind;
use serde_json::{Value, json};
use sim::api_server::key;
use sim::controllers::Program;
use sim::controllers::workspaces::CAPACITY_CONFIG_MAP;
use sim::json;
use sim::rng::Rng;
use sim::world::World;
use sim::{fixtures, runner};
use workspace_plan::ProvisionerMode;

use crate::ladder::{types, workspace};

const TYPES: [(&str, u32); 3] = [
    ("Standard_NV36ads_A10_v5", 36),
    ("Standard_NC24ads_A100_v4", 24),
    ("Standard_NC40ads_H100_v5", 40),
];
const PRESET: &str = "phi-3-mini-4k-instruct";

/// Publishes the processors that are left of each type, as our provisioner does.
fn publish(world: &mut World, left: [u64; 3]) {
    let families = TYPES.iter().zip(left);
    let record = CapacityRecord {
        region: "eastus2".to_owned(),
        read_at: Some(Time(world.now() - SignedDuration::from_secs(1))),
        families: families
            .map(|((name, _), left)| {
                let quota = VcpuQuota {
                    limit: 1000,
                    used: 1000 - left,
                };
                ((*name).to_owned(), quota)
            })
            .collect(),
        instance_types: TYPES
            .iter()
            .map(|(name, vcpus)| {
                let facts = TypeCapacity {
                    family: (*name).to_owned(),
                    vcpus: *vcpus,
                    ..TypeCapacity::default()
                };
                (name.to_lowercase(), facts)
            })
            .collect(),
        ..CapacityRecord::default()
    };
    let (namespace, name) = CAPACITY_CONFIG_MAP;
    let value: Value = json!({"data": record.data()});
    world
        .apply(&key(Kind::ConfigMap, namespace, name), &value)
        .unwrap();
}

/// Requests to the cloud for instances.
fn creations(world: &World) -> usize {
    let all = world.cloud.requests().iter();
    all.filter(|(_, what)| what.starts_with("create")).count()
}

fn attempts(world: &World, name: &str) -> Vec<String> {
    let workspace = world.api.get(&key(Kind::Workspace, "default", name)).unwrap();
    let all = json::list(workspace, &["status", "attempts"]).iter();
    all.map(|attempt| {
        let text = |field: &str| json::text(attempt, &[field]).to_owned();
        format!("{} {}", text("instanceType"), text("reason"))
    })
    .collect()
}

#[test]
fn the_cloud_is_not_asked_for_what_the_quota_does_not_hold() {
    let mut world = World::new(fixtures::setup(5));
    publish(&mut world, [0, 6, 40]);
    let names = TYPES.map(|(name, _)| name);
    world
        .apply_workspace("default", "one", &workspace("one", PRESET, &names), 1)
        .unwrap();
    runner::settle(&mut world).unwrap();
    assert_eq!(types(&world)["one"], BTreeSet::from([names[2].to_owned()]));
    assert_eq!(creations(&world), 1, "{}", world.trace().join("\n"));
    let expected = [
        format!("{} QuotaTooSmall", names[0]),
        format!("{} QuotaTooSmall", names[1]),
    ];
    assert_eq!(attempts(&world, "one"), expected);
    // What was bought after the quota was read counts, too: the last type is used up now, so the first one is tried.
    world
        .apply_workspace("default", "two", &workspace("two", PRESET, &names), 1)
        .unwrap();
    runner::settle(&mut world).unwrap();
    assert_eq!(types(&world)["two"], BTreeSet::from([names[0].to_owned()]));
    runner::stay_quiet(&mut world).unwrap();
    // What runs does not move when the quota shrinks or is raised.
    publish(&mut world, [999, 999, 0]);
    runner::settle(&mut world).unwrap();
    runner::stay_quiet(&mut world).unwrap();
    assert_eq!(types(&world)["one"], BTreeSet::from([names[2].to_owned()]));
    runner::end(&mut world).unwrap();
}

/// Whatever is published, and whether or not it is true, each Workspace serves once its types can be had.
#[test]
fn wrong_facts_stop_no_workspace() {
    for seed in 0..12 {
        let mut rng = Rng::new(seed ^ 0x9_0074);
        let mut setup = fixtures::setup(seed);
        if rng.permille(500) {
            setup.workspaces.mode = ProvisionerMode::NodeClaim;
        }
        let mut world = World::new(setup);
        world.trouble.delay_ms = *rng.pick(&[0, 500, 3_000]).unwrap();
        for name in ["a", "b"] {
            let mut ladder = TYPES.map(|(name, _)| name).to_vec();
            ladder.rotate_left(usize::try_from(rng.below(3)).unwrap());
            ladder.truncate(usize::try_from(rng.between(1, 3)).unwrap());
            world
                .apply_workspace("default", name, &workspace(name, PRESET, &ladder), 8)
                .unwrap();
        }
        for _ in 0..rng.between(2, 6) {
            let left = [0, 1, 2].map(|_| *rng.pick(&[0, 24, 40, 999]).unwrap());
            publish(&mut world, left);
            let scarce = TYPES.iter().filter(|_| rng.permille(400));
            world.cloud.scarce = scarce.map(|(name, _)| name.to_lowercase()).collect();
            if rng.permille(200) {
                world.kill(Program::Workspaces);
            }
            for _ in 0..rng.between(1, 10) {
                world.advance(SignedDuration::from_secs(30)).unwrap();
                for (name, types) in types(&world) {
                    assert!(types.len() <= 1, "seed {seed}: {name} has {types:?}");
                }
            }
        }
        world.cloud.scarce.clear();
        let settled = runner::settle(&mut world);
        assert!(settled.is_ok(), "seed {seed}: {settled:?}");
        assert_eq!(types(&world).len(), 2, "seed {seed}: both have nodes");
        runner::stay_quiet(&mut world).unwrap();
        runner::end(&mut world).unwrap();
    }
}

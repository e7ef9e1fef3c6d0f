//! Workspaces that name several instance types, on a cloud that lacks some of them for a while.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use plan::Kind;
use serde_json::{Value, json};
use sim::api_server::key;
use sim::controllers::Program;
use sim::json;
use sim::rng::Rng;
use sim::world::World;
use sim::{fixtures, runner};
use workspace_plan::ProvisionerMode;

const TYPES: [&str; 3] = [
    "Standard_NV36ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_NC40ads_H100_v5",
];

pub(crate) fn workspace(name: &str, preset: &str, ladder: &[&str]) -> Value {
    let mut value = fixtures::inference(name, preset, 1);
    value["resource"]["instanceType"] = json!(ladder.join(","));
    value
}

/// Types of the claims of each Workspace, terminating ones too.
pub(crate) fn types(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut types: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for kind in [Kind::Machine, Kind::NodeClaim] {
        for (_, claim) in world.api.list(kind) {
            let owner = json::text(claim, &["metadata", "labels", "kaito.sh/workspace"]).to_owned();
            let found = claim["spec"]["requirements"][0]["values"][0]
                .as_str()
                .unwrap()
                .to_owned();
            types.entry(owner).or_default().insert(found);
        }
    }
    types
}

fn attempts(world: &World, name: &str) -> Vec<String> {
    let workspace = world.api.get(&key(Kind::Workspace, "default", name)).unwrap();
    let all = json::list(workspace, &["status", "attempts"]).iter();
    all.map(|attempt| json::text(attempt, &["instanceType"]).to_lowercase())
        .collect()
}

fn says(world: &World, name: &str) -> String {
    let workspace = world.api.get(&key(Kind::Workspace, "default", name)).unwrap();
    workspace["status"].to_string().to_lowercase()
}

#[test]
fn the_next_type_is_taken_and_the_best_one_again_after_a_while() {
    let mut world = World::new(fixtures::setup(3));
    world.cloud.scarce = [TYPES[1].to_lowercase()].into();
    let ladder = [TYPES[1], TYPES[2]];
    let one = workspace("one", "phi-3-mini-4k-instruct", &ladder);
    world.apply_workspace("default", "one", &one, 1).unwrap();
    runner::settle(&mut world).unwrap();
    assert_eq!(types(&world)["one"], BTreeSet::from([TYPES[2].to_owned()]));
    assert_eq!(attempts(&world, "one"), [TYPES[1].to_lowercase()]);
    // Another Workspace does not ask for what was refused a moment ago.
    let requests = |world: &World| {
        world
            .cloud
            .requests()
            .iter()
            .filter(|(_, what)| what.starts_with("create"))
            .count()
    };
    let before = requests(&world);
    world
        .apply_workspace(
            "default",
            "two",
            &workspace("two", "phi-3-mini-4k-instruct", &ladder),
            1,
        )
        .unwrap();
    runner::settle(&mut world).unwrap();
    assert_eq!(types(&world)["two"], BTreeSet::from([TYPES[2].to_owned()]));
    let until_then = requests(&world) - before;
    assert!(until_then <= 2, "{until_then}");
    runner::stay_quiet(&mut world).unwrap();
    // After an hour the refusal is forgotten.
    world.cloud.scarce.clear();
    world
        .apply_workspace(
            "default",
            "three",
            &workspace("three", "phi-3-mini-4k-instruct", &ladder),
            1,
        )
        .unwrap();
    runner::settle(&mut world).unwrap();
    assert_eq!(types(&world)["three"], BTreeSet::from([TYPES[1].to_owned()]));
    runner::end(&mut world).unwrap();
}

/// Nodes of a Workspace are of one type, whatever is scarce and whenever programs die. The status has the reason for each type
/// that is left out, and each Workspace serves once its types can be had.
#[test]
fn scarce_capacity_is_climbed_under_any_seed() {
    let mut moved = 0;
    for seed in 0..16 {
        let mut rng = Rng::new(seed ^ 0x1adde5);
        let mut setup = fixtures::setup(seed);
        if rng.permille(500) {
            setup.workspaces.mode = ProvisionerMode::NodeClaim;
        }
        let mut world = World::new(setup);
        world.trouble.delay_ms = *rng.pick(&[0, 500, 3_000]).unwrap();
        // Each restart costs an attempt, and the writes of one claim are bounded.
        world.trouble.crash_permille = *rng.pick(&[0, 3]).unwrap();
        for name in ["a", "b"] {
            let mut ladder = TYPES.to_vec();
            ladder.rotate_left(usize::try_from(rng.below(3)).unwrap());
            let preset = *rng.pick(&["phi-3-mini-4k-instruct", "phi-4"]).unwrap();
            world
                .apply_workspace("default", name, &workspace(name, preset, &ladder), 8)
                .unwrap();
        }
        for _ in 0..rng.between(4, 10) {
            world.cloud.scarce = TYPES
                .iter()
                .filter(|_| rng.permille(600))
                .map(|name| name.to_lowercase())
                .collect();
            if rng.permille(150) {
                world.kill(Program::Workspaces);
            }
            for _ in 0..rng.between(1, 20) {
                world.advance(SignedDuration::from_secs(30)).unwrap();
                for (name, types) in types(&world) {
                    assert!(
                        types.len() <= 1,
                        "seed {seed}: {name} has {types:?}\n{}",
                        world.trace().join("\n")
                    );
                }
            }
        }
        world.cloud.scarce.clear();
        world.trouble.crash_permille = 0;
        runner::settle(&mut world).unwrap();
        for (name, types) in types(&world) {
            let workspace = world.api.get(&key(Kind::Workspace, "default", &name)).unwrap();
            let ladder = json::text(workspace, &["resource", "instanceType"]).to_owned();
            let better = ladder.split(',').take_while(|rung| !types.contains(*rung));
            for rung in better {
                moved += 1;
                assert!(
                    says(&world, &name).contains(&rung.to_lowercase()),
                    "seed {seed}: {rung} is left out silently\n{}",
                    world.trace().join("\n")
                );
            }
        }
        runner::stay_quiet(&mut world).unwrap();
        runner::end(&mut world).unwrap();
    }
    assert!(moved > 4, "{moved}");
}

//! Scarce capacity: Workspaces with ladders, capacity types and zones, on a cloud whose stock and quotas change.

use cloudprovider::{CapacityType, ErrorClass, InstanceState, LaunchLimits, Offering};
use kaito_api::labels;
use plan::{Kind, ObjectRef};
use serde_json::{Value, json};

use crate::api_server::key;
use crate::cloud::{Quotas, Supply, quota};
use crate::fixtures;
use crate::json;
use crate::rng::Rng;
use crate::world::{Setup, World};

/// Instance types of the ladders. Their sizes and prices differ, and two are of one family.
const TYPES: [&str; 4] = [
    "Standard_NV36ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_NC40ads_H100_v5",
    "Standard_NC48ads_A100_v4",
];
const ZONES: [&str; 3] = ["1", "2", "3"];
/// Most nodes of the large model on any of the types.
const LARGE_SLOTS: usize = 10;
/// Values of annotations that can be read, without reserved capacity.
const CAPACITY_TYPES: [&str; 4] = ["spot", "on-demand", "spot,on-demand", "on-demand,spot"];
const ALLOWED_ZONES: [&str; 4] = ["1", "2", "2,1", "1,2,3"];
/// Ceilings of the list price of a namespace, in US dollars per hour.
const CEILINGS: [&str; 2] = ["15", "30"];

/// Chooses settings of a world with scarce capacity.
pub(crate) fn prepare(setup: &mut Setup, rng: &mut Rng) {
    setup.provisioner.launch_limits = LaunchLimits {
        zones: &ZONES,
        ..LaunchLimits::default()
    };
    if rng.permille(500) {
        fixtures::use_reservation(setup);
    }
    if rng.permille(250) {
        let price = rng.pick(&CEILINGS).and_then(|price| price.parse().ok());
        setup.workspaces.ceilings.namespace.usd_per_hour = price;
    }
    if rng.permille(200) {
        setup.workspaces.offerings.capacity_types =
            vec![labels::SPOT.to_owned(), labels::ON_DEMAND.to_owned()];
        setup.workspaces.offerings.zones = vec!["3".to_owned(), "1".to_owned()];
    }
}

/// The world begins with little capacity.
pub(super) fn begin(world: &mut World, rng: &mut Rng) {
    if rng.permille(800) {
        restock(world, rng);
    } else {
        run_out(world);
    }
}

/// Applies a Workspace with a ladder, or edits what the existing one allows.
pub(super) fn apply(world: &mut World, namespace: &str, name: &str, rng: &mut Rng) {
    if world.api.get(&key(Kind::Workspace, namespace, name)).is_some() {
        return edit(world, namespace, name, rng);
    }
    let (mut value, slots) = match name {
        "one" => (fixtures::configured(name, fixtures::SMALL_PRESET, 1), 1),
        "two" => (fixtures::template(name, 2), 2),
        "tune" => (fixtures::tuning(name), 1),
        _ => (fixtures::inference(name, fixtures::LARGE_PRESET, 2), LARGE_SLOTS),
    };
    let mut types = TYPES;
    rng.shuffle(&mut types);
    let count = *rng.pick(&[1, 2, 2, 3, 3]).unwrap_or(&1);
    json::set(
        &mut value,
        &["resource", "instanceType"],
        json!(types[..count].join(",")),
    );
    let chosen = [
        (labels::CAPACITY_TYPES, capacity_types(world, rng)),
        (labels::ZONES, zones(rng)),
    ];
    for (annotation, text) in chosen {
        if let Some(text) = text {
            json::set(&mut value, &["metadata", "annotations", annotation], json!(text));
        }
    }
    let _ = world.apply_workspace(namespace, name, &value, slots);
}

fn capacity_types(world: &World, rng: &mut Rng) -> Option<&'static str> {
    match rng.below(8) {
        0 => None,
        1 if world.has_reservation() => Some("reserved,on-demand"),
        2 if world.has_reservation() => Some("reserved,spot,on-demand"),
        _ => rng.pick(&CAPACITY_TYPES).copied(),
    }
}

fn zones(rng: &mut Rng) -> Option<&'static str> {
    let named = rng.permille(500);
    rng.pick(&ALLOWED_ZONES).copied().filter(|_| named)
}

/// Changes an annotation: to another value, to none, or to one that cannot be read or had.
fn edit(world: &mut World, namespace: &str, name: &str, rng: &mut Rng) {
    let (annotation, good, bad) = if rng.permille(600) {
        (labels::CAPACITY_TYPES, capacity_types(world, rng), "Spot")
    } else {
        (labels::ZONES, zones(rng), "7")
    };
    let text = good.filter(|_| rng.permille(900)).map_or_else(
        || {
            if rng.permille(500) {
                json!(bad)
            } else {
                Value::Null
            }
        },
        |good| json!(good),
    );
    world.scribble(
        &key(Kind::Workspace, namespace, name),
        &json!({"metadata": {"annotations": {annotation: text}}}),
    );
}

/// Does one random thing about capacity.
pub(super) fn act(world: &mut World, rng: &mut Rng) {
    match rng.below(10) {
        0..=3 => restock(world, rng),
        4 => restrict(world, rng),
        5 => run_out(world),
        6 => give_back(world),
        7 => edit_any(world, rng),
        _ => evict(world, rng),
    }
}

/// Some types are gone. Of the others, each offering has a few machines, or as many as anyone wants.
fn restock(world: &mut World, rng: &mut Rng) {
    const CLASSES: [ErrorClass; 4] = [
        ErrorClass::Capacity,
        ErrorClass::Capacity,
        ErrorClass::Quota,
        ErrorClass::SkuUnavailable,
    ];
    world.cloud.supply.clear();
    let lacking: Vec<&str> = TYPES.into_iter().filter(|_| rng.permille(500)).collect();
    for offering in offerings() {
        let lacks = lacking.contains(&offering.instance_type.as_str());
        if lacks || rng.permille(600) {
            let some = *rng.pick(&[0, 0, 1, 2]).unwrap_or(&0);
            let supply = Supply {
                machines: if lacks { 0 } else { some },
                class: *rng.pick(&CLASSES).unwrap_or(&ErrorClass::Capacity),
                at_once: rng.permille(500),
            };
            world.cloud.supply.insert(offering, supply);
        }
    }
    world.note("the cloud's stock changes");
}

/// Quotas of vCPUs change.
fn restrict(world: &mut World, rng: &mut Rng) {
    let mut quotas = Quotas {
        spot: rng.permille(500).then(|| vcpus(rng)),
        ..Quotas::default()
    };
    for instance_type in TYPES {
        if rng.permille(500) {
            quotas.families.insert(quota::family(instance_type), vcpus(rng));
        }
    }
    world.note(format!("quotas are {quotas:?}"));
    world.cloud.quotas = quotas;
}

fn vcpus(rng: &mut Rng) -> u32 {
    *rng.pick(&[0, 24, 48, 96]).unwrap_or(&0)
}

/// No machine is free at all.
fn run_out(world: &mut World) {
    for offering in offerings() {
        let supply = Supply {
            machines: 0,
            class: ErrorClass::Capacity,
            at_once: false,
        };
        world.cloud.supply.insert(offering, supply);
    }
    world.note("the cloud has no machine left");
}

/// As many machines are free as anyone wants.
pub(super) fn give_back(world: &mut World) {
    world.cloud.supply.clear();
    world.cloud.quotas = Quotas::default();
    world.note("the cloud has machines again");
}

fn offerings() -> impl Iterator<Item = Offering> {
    let zones = || ZONES.into_iter().map(Some).chain([None]);
    let in_zones = move |instance_type: &'static str, capacity_type: CapacityType| {
        zones().map(move |zone| Offering {
            instance_type: instance_type.to_owned(),
            capacity_type,
            zone: zone.map(str::to_owned),
        })
    };
    TYPES.into_iter().flat_map(move |instance_type| {
        CapacityType::ALL
            .into_iter()
            .flat_map(move |capacity_type| in_zones(instance_type, capacity_type))
    })
}

fn edit_any(world: &mut World, rng: &mut Rng) {
    if let Some(target) = rng.pick(&workspaces(world)).cloned() {
        edit(
            world,
            target.namespace.as_deref().unwrap_or_default(),
            &target.name,
            rng,
        );
    }
}

/// The cloud takes a spot machine back, and has none of its offering for others.
fn evict(world: &mut World, rng: &mut Rng) {
    let pools = world.cloud.pools();
    let spot = pools
        .filter(|pool| pool.capacity_type == CapacityType::Spot && pool.state == InstanceState::Succeeded);
    let mut spot: Vec<(String, Option<Offering>)> =
        spot.map(|pool| (pool.name.clone(), pool.offering())).collect();
    let elsewhere = world.cloud.elsewhere();
    let elsewhere = elsewhere.filter(|(_, offering)| offering.capacity_type == CapacityType::Spot);
    spot.extend(elsewhere.map(|(name, offering)| (name.to_owned(), Some(offering.clone()))));
    let Some((name, offering)) = rng.pick(&spot).cloned() else {
        return;
    };
    if let Some(offering) = offering {
        let supply = Supply {
            machines: 0,
            class: ErrorClass::Capacity,
            at_once: rng.permille(500),
        };
        world.cloud.supply.insert(offering, supply);
    }
    let is_pool = world.cloud.pool(&name).is_some();
    if is_pool {
        world.reclaim(&name, rng.permille(700));
    } else {
        // A Karpenter hears of it from its cloud.
        world.break_machine(&name);
    }
}

/// Machines are free again, and every Workspace allows something that can be had.
pub(super) fn mend(world: &mut World) {
    give_back(world);
    for target in workspaces(world) {
        for (name, bad) in [(labels::CAPACITY_TYPES, "Spot"), (labels::ZONES, "7")] {
            let value = world.api.get(&target);
            let is_bad =
                value.is_some_and(|value| json::text(value, &["metadata", "annotations", name]) == bad);
            if is_bad {
                world.scribble(
                    &target,
                    &json!({"metadata": {"annotations": {name: Value::Null}}}),
                );
            }
        }
    }
}

fn workspaces(world: &World) -> Vec<ObjectRef> {
    let all = world.api.list(Kind::Workspace);
    all.map(|(key, _)| key.clone()).collect()
}

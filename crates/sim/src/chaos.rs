//! Faults of a seeded run, and actions of users meanwhile.

mod illness;
pub(crate) mod scarcity;
mod upgrades;

use cloudprovider::Ownership;
use jiff::SignedDuration;
use kaito_api::labels;
use plan::{Kind, ObjectRef};
use serde_json::json;
use workspace_plan::{ProvisionerMode, Upgrades};

use crate::api_server::{is_deleting, key};
use crate::cloud::Fault;
use crate::controllers::Program;
use crate::fixtures;
use crate::json;
use crate::rng::Rng;
use crate::world::World;

/// Faults that leave nothing behind once they stop.
const PASSING: [Fault; 8] = [
    Fault::Quota,
    Fault::Capacity,
    Fault::Busy,
    Fault::Throttled,
    Fault::Lost,
    Fault::Broken,
    Fault::NoNode,
    Fault::DeleteFails,
];

/// Objects that a run applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Claims of both kinds without a Workspace.
    Claims,
    /// Workspaces.
    Workspaces,
    /// Workspaces with ladders, capacity types and zones, on a cloud with little capacity.
    Scarcity,
}

/// Makes the world randomly unreliable.
pub fn trouble(world: &mut World, rng: &mut Rng) {
    world.trouble.behind = rng.between(0, 4);
    world.trouble.delay_ms = *rng.pick(&[0, 500, 3_000, 15_000]).unwrap_or(&0);
    world.trouble.crash_permille = *rng.pick(&[0, 0, 20, 80]).unwrap_or(&0);
    world.trouble.hold_permille = *rng.pick(&[0, 300]).unwrap_or(&0);
    world.cloud.faults.chance = (*rng.pick(&[0, 50, 200]).unwrap_or(&0), PASSING.to_vec());
    let seconds = |rng: &mut Rng, low, high| {
        SignedDuration::from_secs(i64::try_from(rng.between(low, high)).unwrap_or(60))
    };
    let pace = &mut world.cloud.pace;
    pace.create = seconds(rng, 20, 400);
    pace.delete = seconds(rng, 5, 120);
    pace.join = seconds(rng, 15, 450);
    pace.devices = seconds(rng, 0, 90);
    pace.forget_node = seconds(rng, 0, 120);
    pace.list_lag = seconds(rng, 0, 8);
    pace.refuses_early_delete = rng.permille(300);
    pace.hides_failures = rng.permille(300);
    let seed = world.seed();
    world.kubelet.karpenter.trouble(seed);
}

/// Makes the world reliable again and removes every obstacle.
pub fn calm(world: &mut World, subject: Subject) {
    world.note("--- faults stop ---");
    world.trouble = crate::world::Trouble::default();
    world.cloud.faults.clear();
    world.cloud.pace.list_lag = SignedDuration::ZERO;
    world.registry.down = false;
    world.api.denials.clear();
    world.kubelet.pods.crash = false;
    world.kubelet.karpenter.heal();
    illness::mend(world);
    if subject == Subject::Scarcity {
        scarcity::mend(world);
    }
    world.upgrades(Upgrades::Manual);
    mend_settings(world);
    let pods: Vec<ObjectRef> = world.api.list(Kind::Pod).map(|(key, _)| key.clone()).collect();
    for pod in pods {
        world
            .api
            .hold_pod(pod.namespace.as_deref().unwrap_or_default(), &pod.name, false);
    }
    let taken: Vec<String> = world
        .cloud
        .pools()
        .filter(|pool| pool.name.starts_with('w') && pool.owner == Ownership::Foreign)
        .map(|p| p.name.clone())
        .collect();
    for pool in taken {
        world.uproot_pool(&pool);
    }
}

/// Does one random action of a user, or causes one random loss.
pub(crate) fn act(world: &mut World, subject: Subject, rng: &mut Rng) {
    if subject == Subject::Scarcity && rng.permille(550) {
        return scarcity::act(world, rng);
    }
    match rng.below(23) {
        0..=2 => apply(world, subject, rng),
        3 => delete(world, subject, rng),
        4 => lose_pool(world, rng),
        5 => break_machine(world, rng),
        6 => remove(world, Kind::Node, rng),
        7 => remove(world, Kind::Pod, rng),
        8 => remove(
            world,
            *rng.pick(&[
                Kind::Deployment,
                Kind::Service,
                Kind::StatefulSet,
                Kind::ControllerRevision,
            ])
            .unwrap_or(&Kind::Service),
            rng,
        ),
        9 => remove(world, claim_kind(rng), rng),
        10 => world.kill(*rng.pick(&Program::ALL).unwrap_or(&Program::Provisioner)),
        11 => fault(world, rng),
        12 => hold(world, rng),
        13..=14 => scribble(world, rng),
        15 => deny(world, rng),
        16 => strip(world, subject, rng),
        17..=18 => configure(world, rng),
        19..=21 => illness::sicken(world, rng),
        _ => switch(world, rng),
    }
}

/// Applies the first objects.
pub(crate) fn begin(world: &mut World, subject: Subject, rng: &mut Rng) {
    if subject == Subject::Scarcity {
        scarcity::begin(world, rng);
        (0..3).for_each(|_| apply(world, subject, rng));
    }
    apply(world, subject, rng);
}

/// Applies one of a few objects, new or not.
pub fn apply(world: &mut World, subject: Subject, rng: &mut Rng) {
    match subject {
        Subject::Claims => {
            let ordinal = u32::try_from(rng.below(3)).unwrap_or(0);
            let kind = claim_kind(rng);
            let (name, mut value) = match kind {
                Kind::NodeClaim => (
                    format!("wc00000000{ordinal}"),
                    fixtures::node_claim("c", "uid-of-c", ordinal),
                ),
                _ => (
                    format!("ws00000000{ordinal}"),
                    fixtures::machine("w", "uid-of-w", ordinal),
                ),
            };
            squat(world, &name, rng);
            json::set(&mut value, &["metadata", "labels", "by"], json!("user"));
            let _ = world.apply(&key(kind, "", &name), &value);
        }
        Subject::Workspaces | Subject::Scarcity => {
            let (namespace, name) = (rng.pick(&NAMESPACES), rng.pick(&WORKSPACES));
            if let (Some(namespace), Some(name)) = (namespace, name) {
                apply_workspace(world, subject, namespace, name, rng);
            }
        }
    }
}

/// Namespaces of two tenants.
const NAMESPACES: [&str; 2] = ["default", "neighbor"];
/// Workspaces of each tenant.
const WORKSPACES: [&str; 4] = ["one", "two", "tune", "large"];

fn apply_workspace(world: &mut World, subject: Subject, namespace: &str, name: &str, rng: &mut Rng) {
    if subject == Subject::Scarcity {
        return scarcity::apply(world, namespace, name, rng);
    }
    let (value, slots) = match name {
        "one" => (fixtures::configured(name, fixtures::SMALL_PRESET, 1), 1),
        "two" => (fixtures::template(name, 2), 2),
        "tune" => (fixtures::tuning(name), 1),
        _ => (
            fixtures::configured(name, fixtures::LARGE_PRESET, 2),
            fixtures::LARGE_SLOTS,
        ),
    };
    let _ = world.apply_workspace(namespace, name, &value, slots);
}

// Another owner has a pool of the same name.
fn squat(world: &mut World, name: &str, rng: &mut Rng) {
    if world.cloud.pool(name).is_none() && rng.permille(80) {
        world.plant_pool(fixtures::foreign_pool(name));
    }
}

fn delete(world: &mut World, subject: Subject, rng: &mut Rng) {
    match subject {
        Subject::Claims => remove(world, claim_kind(rng), rng),
        Subject::Workspaces | Subject::Scarcity => remove(world, Kind::Workspace, rng),
    }
}

fn remove(world: &mut World, kind: Kind, rng: &mut Rng) {
    let all: Vec<ObjectRef> = world
        .api
        .list(kind)
        .filter(|(key, value)| !["theirs", "karpenters"].contains(&key.name.as_str()) && !is_deleting(value))
        .map(|(key, _)| key.clone())
        .collect();
    if let Some(key) = rng.pick(&all) {
        world.delete(key);
    }
}

fn lose_pool(world: &mut World, rng: &mut Rng) {
    if let Some(name) = own_pool(world, rng) {
        world.lose_pool(&name);
    }
}

fn break_machine(world: &mut World, rng: &mut Rng) {
    if let Some(name) = own_pool(world, rng) {
        world.break_machine(&name);
    }
}

fn own_pool(world: &World, rng: &mut Rng) -> Option<String> {
    rng.pick(&world.own_instances()).cloned()
}

fn fault(world: &mut World, rng: &mut Rng) {
    let all = [&PASSING[..], &[Fault::Stuck]].concat();
    if let Some(fault) = rng.pick(&all) {
        world.note(format!("next: {}", fault.word()));
        world.cloud.faults.once(*fault);
    }
}

fn hold(world: &mut World, rng: &mut Rng) {
    let all: Vec<ObjectRef> = world.api.list(Kind::Pod).map(|(key, _)| key.clone()).collect();
    if let Some(pod) = rng.pick(&all) {
        world.note(format!("a disruption budget holds pod {}", pod.name));
        world
            .api
            .hold_pod(pod.namespace.as_deref().unwrap_or_default(), &pod.name, true);
    }
}

fn strip(world: &mut World, subject: Subject, rng: &mut Rng) {
    let all: Vec<ObjectRef> = world
        .api
        .list(Kind::Workspace)
        .map(|(key, _)| key.clone())
        .collect();
    if let Some(key) = rng.pick(&all) {
        world.strip(key);
        // Often the tenant creates another of the name at once, while everything of the first is still there.
        if rng.permille(500) {
            let namespace = key.namespace.as_deref().unwrap_or_default();
            apply_workspace(world, subject, namespace, &key.name, rng);
        }
    }
}

/// Settings that tenants write: good ones, of which some need other nodes, and bad ones.
const SETTINGS: [&str; 7] = [
    "vllm: {max-num-seqs: 8}",
    "vllm: {max-model-len: 4000, kv-cache-dtype: fp8}",
    "vllm: {quantization: bitsandbytes}",
    "vllm: {gpu-memory-utilization: 0.95}",
    "vllm: {host: 0.0.0.0}",
    "vllm: {no-such-flag: 1}",
    "vllm: [",
];

/// A tenant writes the ConfigMap of the Workspaces, breaks it, or deletes it.
fn configure(world: &mut World, rng: &mut Rng) {
    let namespace = *rng.pick(&NAMESPACES).unwrap_or(&"default");
    let target = key(Kind::ConfigMap, namespace, fixtures::CONFIG);
    if rng.permille(200) {
        world.delete(&target);
    } else if let Some(text) = rng.pick(&SETTINGS) {
        world.note(format!("the settings of {namespace} are {text}"));
        let _ = world.apply(&target, &fixtures::config_map(text));
    }
}

/// Every tenant has settings that are good.
fn mend_settings(world: &mut World) {
    for namespace in NAMESPACES {
        let target = key(Kind::ConfigMap, namespace, fixtures::CONFIG);
        let _ = world.apply(&target, &fixtures::config_map("vllm: {max-num-seqs: 8}"));
    }
}

// A user of the namespace may write anything into the objects there.
fn scribble(world: &mut World, rng: &mut Rng) {
    const KINDS: [Kind; 6] = [
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::Job,
        Kind::Service,
        Kind::ConfigMap,
        Kind::Pod,
    ];
    let all = KINDS.into_iter().flat_map(|kind| world.api.list(kind));
    let owned =
        all.filter(|(_, value)| !json::text(value, &["metadata", "labels", labels::WORKSPACE]).is_empty());
    let owned: Vec<ObjectRef> = owned.map(|(key, _)| key.clone()).collect();
    let Some(key) = rng.pick(&owned) else { return };
    let count = *rng.pick(&["5", "0", "4294967295", "many"]).unwrap_or(&"5");
    let mut body = json!({"metadata": {
        "annotations": {labels::NODE_COUNT: count, labels::SPEC_HASH: "x", labels::RENDERED_HASH: "x"},
        "labels": {labels::WORKSPACE_UID: "x", labels::ORDINAL: count},
    }});
    if matches!(key.kind, Kind::Deployment | Kind::StatefulSet) {
        json::set(&mut body, &["spec", "replicas"], json!(rng.below(9)));
    }
    world.scribble(key, &body);
}

/// Admission denies the applies of one kind, or stops denying it.
fn deny(world: &mut World, rng: &mut Rng) {
    let kinds = [
        Kind::Service,
        Kind::ControllerRevision,
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::Job,
        Kind::Machine,
        Kind::NodeClaim,
    ];
    let kind = *rng.pick(&kinds).unwrap_or(&Kind::Service);
    if world.api.denials.remove(&kind).is_some() {
        world.note(format!("{} is allowed again", kind.as_str()));
        return;
    }
    let denials = [
        (403, "exceeded quota: q, requested: x=1, used: x=0, limited: x=0"),
        (500, "failed calling webhook \"w\": context deadline exceeded"),
        (400, "admission webhook \"w\" denied the request: no"),
        (429, "Too many requests, please try again later."),
        (503, "etcdserver: leader changed"),
    ];
    if let Some((code, message)) = rng.pick(&denials) {
        world.note(format!("{} is denied: {message}", kind.as_str()));
        world.api.denials.insert(kind, (*code, (*message).to_owned()));
    }
}

fn claim_kind(rng: &mut Rng) -> Kind {
    *rng.pick(&[Kind::Machine, Kind::NodeClaim])
        .unwrap_or(&Kind::Machine)
}

fn switch(world: &mut World, rng: &mut Rng) {
    if rng.permille(400) {
        let other = match world.mode() {
            ProvisionerMode::Machine => ProvisionerMode::NodeClaim,
            ProvisionerMode::NodeClaim | ProvisionerMode::Byo => ProvisionerMode::Machine,
        };
        world.claim_by(other);
    } else if rng.permille(400) {
        let image = format!("example.com/base:{}", rng.below(3));
        world.upgrade(&image);
    } else if rng.permille(300) {
        upgrades::request(world, rng);
    } else if rng.permille(400) {
        upgrades::choose(world, rng);
    } else if rng.permille(500) {
        world.registry.toggle();
        world.note(format!(
            "the registry is {}",
            if world.registry.down { "down" } else { "up" }
        ));
    } else {
        world.kubelet.pods.crash = !world.kubelet.pods.crash;
        world.note(format!(
            "containers {}",
            if world.kubelet.pods.crash { "crash" } else { "run" }
        ));
    }
}

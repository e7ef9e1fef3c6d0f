//! Walks through specs: a running Workspace is edited a few times, and ends as a new Workspace with the last spec
//! would. Otherwise its status says why not.
//!
//! `SIM_WALKS` says how many walks there are. They are the same ones in every run.

use std::cell::Cell;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kaito_api::labels;
use plan::Kind;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use serde_json::{Value, json};
use sim::api_server::key;
use sim::failure::Failure;
use sim::world::{Setup, World};
use sim::{fixtures, json};

const NAMESPACE: &str = "default";
const NAME: &str = "walker";
/// Time without a write after which a world is at rest. Nodes of an ended tuning are given back earlier.
const REST: SignedDuration = SignedDuration::from_mins(12);
/// Reasons that explain why the objects are not those of a new Workspace.
const EXPLANATIONS: [&str; 9] = [
    "UpdateBlocked",
    "InvalidSpec",
    "PresetUnknown",
    "PresetUnsuitable",
    "ModelDoesNotFit",
    "GPUTooOld",
    "TooManyNodes",
    "ConfigMapNotFound",
    "ConfigMapInvalid",
];
/// Kinds that the programs write, and the Workspace itself.
const KINDS: [Kind; 9] = [
    Kind::Workspace,
    Kind::Machine,
    Kind::NodeClaim,
    Kind::ConfigMap,
    Kind::NetworkPolicy,
    Kind::Service,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::Job,
];

/// A value at a path of the Workspace; `None` removes it.
#[derive(Clone, Debug)]
struct Edit(Vec<&'static str>, Option<Value>);

fn at(path: &[&'static str], values: &[Value]) -> impl Strategy<Value = Edit> + use<> {
    let path = path.to_vec();
    let values: Vec<_> = values.iter().cloned().map(Some).chain([None]).collect();
    select(values).prop_map(move |value| Edit(path.clone(), value))
}

/// An edit without the choice to remove the field.
fn replaced(path: &[&'static str], values: &[Value]) -> impl Strategy<Value = Edit> + use<> {
    let path = path.to_vec();
    select(values.to_vec()).prop_map(move |value| Edit(path.clone(), Some(value)))
}

fn annotations() -> impl Strategy<Value = Edit> {
    let of = |name, values: &[&str]| {
        let values: Vec<Value> = values.iter().map(|value| json!(value)).collect();
        at(&["metadata", "annotations", name], &values)
    };
    prop_oneof![
        of(labels::RUNTIME, &["vllm", "native", "transformers", "other"]),
        of(labels::MAX_CONTEXT, &["1024", "4096", "100000", "many"]),
        of(labels::ENABLE_LB, &["true", "false"]),
        of(labels::PUBLIC, &["true", "10.0.0.0/8", "10.0.0.1"]),
        of(labels::BYPASS_RESOURCE_CHECKS, &["true"]),
        of(labels::NODE_IMAGE_FAMILY, &["ubuntu", "azurelinux", "other"]),
        of("example.com/note", &["kept"]),
    ]
}

fn adapter(name: &str, image: &str) -> Value {
    json!({"source": {"name": name, "image": image}, "strength": "0.5"})
}

fn of_preset() -> impl Strategy<Value = Edit> {
    let [one, two] = [
        adapter("one", "example.com/a:1"),
        adapter("two", "example.com/a:2"),
    ];
    prop_oneof![
        at(
            &["inference", "config"],
            &[json!("config"), json!("other"), json!("broken"), json!("missing")]
        ),
        at(
            &["inference", "adapters"],
            &[json!([one]), json!([one, two]), json!([two, one])]
        ),
    ]
}

fn of_template() -> impl Strategy<Value = Edit> {
    let container = |image: &str, gpus: &str| {
        json!([{
            "name": "server", "image": image, "resources": {"limits": {"nvidia.com/gpu": gpus}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }])
    };
    let containers = [
        container("example.com/server:2", "1"),
        container("example.com/server:1", "2"),
    ];
    let template =
        |path: &[&'static str], value: Value| at(&[&["inference", "template"], path].concat(), &[value]);
    prop_oneof![
        replaced(&["inference", "template", "spec", "containers"], &containers),
        template(&["spec", "priorityClassName"], json!("high")),
        template(&["metadata", "labels", "tier"], json!("gold")),
        template(&["spec", "nodeSelector"], json!({"a": "b"})),
    ]
}

fn tuned() -> impl Strategy<Value = Edit> {
    let urls = [
        json!(["https://example.com/data.parquet"]),
        json!(["https://example.com/more.parquet"]),
    ];
    prop_oneof![
        at(&["tuning", "config"], &[json!("config"), json!("broken")]),
        replaced(&["tuning", "input", "urls"], &urls),
        replaced(&["tuning", "output", "image"], &[json!("example.com/adapter:2")]),
        replaced(&["tuning", "method"], &[json!("lora")]),
    ]
}

/// Edits that the API server refuses on most Workspaces.
fn immutable() -> impl Strategy<Value = Edit> {
    let template = fixtures::template(NAME, 1)["inference"].clone();
    let preset = fixtures::inference(NAME, "phi-4", 1)["inference"].clone();
    prop_oneof![
        replaced(&["resource", "count"], &[json!(1), json!(2), json!(3)]),
        replaced(
            &["resource", "instanceType"],
            &[json!(fixtures::INSTANCE_TYPE), json!("Standard_NC12s_v3")]
        ),
        replaced(
            &["resource", "labelSelector"],
            &[json!({"matchLabels": {"apps": "other"}})]
        ),
        replaced(&["inference"], &[template, preset]),
    ]
}

fn edits(own: impl Strategy<Value = Edit> + 'static) -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![4 => annotations(), 5 => own, 1 => immutable()];
    prop::collection::vec(edit, 1..=4)
}

/// Workspaces from which walks start, with the time that a Job runs, and their edits.
fn walks() -> impl Strategy<Value = ((Value, SignedDuration), Vec<Edit>)> {
    let (short, long) = (SignedDuration::from_mins(1), SignedDuration::from_hours(1000));
    let presets = [
        "phi-3-mini-4k-instruct",
        "phi-3-mini-128k-instruct",
        "llama-3.3-70b-instruct",
    ];
    let presets = presets.map(|preset| (fixtures::inference(NAME, preset, 2), short));
    let templates = [1, 2].map(|count| (fixtures::template(NAME, count), short));
    let tunings = [short, long].map(|job| (fixtures::tuning(NAME), job));
    prop_oneof![
        4 => (select(presets.to_vec()), edits(of_preset())),
        3 => (select(templates.to_vec()), edits(of_template())),
        2 => (select(tunings.to_vec()), edits(tuned())),
    ]
}

fn setup(job: SignedDuration) -> Setup {
    let mut setup = fixtures::setup(1);
    let quick = SignedDuration::from_secs(5);
    let pace = &mut setup.pace;
    (pace.create, pace.join, pace.devices, pace.delete) = (quick, quick, quick, quick);
    (setup.pods.start, setup.pods.run) = (quick, job);
    setup
}

/// Plays until nothing was written for a while.
fn rest(world: &mut World) -> Result<(), Failure> {
    for _ in 0..20 {
        let before = world.api.log().len();
        world.advance(REST)?;
        if world.api.log().len() == before {
            return Ok(());
        }
    }
    Err(world.failure("the world does not come to rest"))
}

/// A world with ConfigMaps for Workspaces.
fn world(job: SignedDuration) -> World {
    let mut world = World::new(setup(job));
    let training = "training_config:\n  QuantizationConfig: {load_in_4bit: true}\n  \
                    TrainingArguments: {output_dir: /mnt/results}\n";
    for (name, inference, training) in [
        ("config", "vllm: {max-num-seqs: 8}", training),
        (
            "other",
            "vllm: {quantization: bitsandbytes, max-model-len: 1024}",
            training,
        ),
        ("broken", "vllm: {no-such-flag: 1}", "training_config: []"),
    ] {
        let mut config_map = fixtures::config_map(inference);
        config_map["data"]["training_config.yaml"] = json!(training);
        world
            .apply(&key(Kind::ConfigMap, NAMESPACE, name), &config_map)
            .unwrap();
    }
    world
}

fn apply(world: &mut World, workspace: &Value) -> bool {
    world
        .apply(&key(Kind::Workspace, NAMESPACE, NAME), workspace)
        .is_ok()
}

/// Returns the Workspace after an edit; `None` if it has nothing there to edit.
fn edited(workspace: &Value, Edit(path, value): &Edit) -> Option<Value> {
    // A template is not edited into a preset piece by piece, nor a tuning into a Workspace that serves.
    let parent = path.len().saturating_sub(1).min(2);
    json::at(workspace, &path[..parent])?;
    let mut workspace = workspace.clone();
    match value {
        Some(value) => json::set(&mut workspace, path, value.clone()),
        None => json::remove(&mut workspace, path),
    }
    Some(workspace)
}

type Objects = BTreeMap<String, Value>;

fn snapshot(world: &World) -> Objects {
    let all = KINDS.into_iter().flat_map(|kind| world.api.list(kind));
    all.map(|(key, value)| {
        let mut value = (**value).clone();
        normalize(key.kind, &mut value);
        (format!("{} {}", key.kind.as_str(), key.name), value)
    })
    .collect()
}

/// Drops what differs from one run to the next: identities, versions, times and operations of the cloud.
fn normalize(kind: Kind, value: &mut Value) {
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
        json::remove(value, &["metadata", field]);
    }
    json::remove(value, &["metadata", "labels", labels::CREATION_TIMESTAMP]);
    // The marks of a workload count its changes.
    for mark in [
        labels::OPERATION_URL,
        labels::INPUTS_HASH,
        labels::REVISION,
        labels::RENDERED_HASH,
    ] {
        json::remove(value, &["metadata", "annotations", mark]);
    }
    if kind == Kind::Workspace {
        only_reasons(value);
    }
    // Of workloads, the controllers of Kubernetes write the status.
    if !matches!(kind, Kind::Workspace | Kind::Machine | Kind::NodeClaim) {
        json::remove(value, &["status"]);
    }
    forget_runs(value);
}

/// Messages name pods. A first start is told of a Workspace, not of its last spec. What served once is not ready, and what never served is pending.
fn only_reasons(workspace: &mut Value) {
    json::remove(workspace, &["status", "coldStart"]);
    if json::text(workspace, &["status", "state"]) == "NotReady" {
        json::set(workspace, &["status", "state"], json!("Pending"));
    }
    let Some(Value::Array(conditions)) = workspace.pointer_mut("/status/conditions") else {
        return;
    };
    for condition in conditions {
        json::remove(condition, &["message"]);
    }
}

fn forget_runs(value: &mut Value) {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => *text = "<time>".to_owned(),
        Value::String(text) if text.starts_with("uid-") => *text = "<uid>".to_owned(),
        Value::Array(items) => items.iter_mut().for_each(forget_runs),
        Value::Object(fields) => {
            fields.remove("observedGeneration");
            fields.values_mut().for_each(forget_runs);
        }
        _ => {}
    }
}

/// Returns the reason in the status for which the running objects are not those of a new Workspace.
///
/// An ended tuning heeds no annotation any more. Its edited spec needs a reason of its own.
fn explanation(start: &Value, spec: &Value, world: &World) -> Option<&'static str> {
    let workspace = world.api.get(&key(Kind::Workspace, NAMESPACE, NAME))?;
    let conditions = json::list(workspace, &["status", "conditions"]);
    let says = |reason: &str| {
        conditions.iter().any(|condition| {
            let note = format!("{reason}: ");
            json::text(condition, &["reason"]) == reason
                || json::text(condition, &["message"]).contains(&note)
        })
    };
    let ended = (start["tuning"] == spec["tuning"]).then_some("NodesGivenBack");
    EXPLANATIONS.into_iter().chain(ended).find(|reason| says(reason))
}

/// First place at which two values differ.
fn difference(place: &str, walked: &Value, fresh: &Value) -> Option<String> {
    if walked == fresh {
        return None;
    }
    if let (Value::Array(a), Value::Array(b)) = (walked, fresh)
        && a.len() == b.len()
    {
        let items = a.iter().zip(b).enumerate();
        return items
            .map(|(index, (a, b))| difference(&format!("{place}[{index}]"), a, b))
            .find_map(|found| found);
    }
    let (Value::Object(a), Value::Object(b)) = (walked, fresh) else {
        return Some(format!("{place}: is {walked}, and {fresh} in a new Workspace"));
    };
    let fields = a.keys().chain(b.keys());
    let of =
        |fields: &serde_json::Map<String, Value>, field| fields.get(field).cloned().unwrap_or(Value::Null);
    fields
        .map(|field| difference(&format!("{place}.{field}"), &of(a, field), &of(b, field)))
        .find_map(|found| found)
}

/// Result of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// No edit changed anything.
    Unmoved,
    /// Everything is as in a new Workspace.
    Same,
    /// Something differs, and the status says why.
    Explained,
}

fn walk(start: &Value, job: SignedDuration, edits: &[Edit]) -> Result<End, String> {
    let shown = |failure: Failure| failure.to_string();
    let mut world = self::world(job);
    assert!(apply(&mut world, start), "the first spec is refused");
    rest(&mut world).map_err(shown)?;
    let mut spec = start.clone();
    for edit in edits {
        let Some(next) = edited(&spec, edit) else { continue };
        if next != spec && apply(&mut world, &next) {
            spec = next;
            rest(&mut world).map_err(shown)?;
        }
    }
    if spec == *start {
        return Ok(End::Unmoved);
    }
    world.check_quiet().map_err(shown)?;
    let mut fresh = self::world(job);
    assert!(apply(&mut fresh, &spec), "the last spec is refused");
    rest(&mut fresh).map_err(shown)?;
    compare(start, &spec, &world, &fresh)
}

fn compare(start: &Value, spec: &Value, walked: &World, fresh: &World) -> Result<End, String> {
    match difference("", &json!(snapshot(walked)), &json!(snapshot(fresh))) {
        None => Ok(End::Same),
        Some(_) if explanation(start, spec, walked).is_some() => Ok(End::Explained),
        Some(what) => {
            let workspace = walked.api.get(&key(Kind::Workspace, NAMESPACE, NAME));
            let status = workspace.map(|workspace| workspace["status"].to_string());
            Err(format!(
                "{what}\nspec: {spec}\nstatus: {}",
                status.unwrap_or_default()
            ))
        }
    }
}

#[test]
fn an_edited_workspace_ends_as_a_new_one_would_or_says_why_not() {
    let asked = std::env::var("SIM_WALKS").ok();
    let cases = asked.and_then(|text| text.parse().ok()).unwrap_or(120);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counts: [Cell<u32>; 3] = Default::default();
    let result = runner.run(&walks(), |((start, job), edits)| {
        let end = walk(&start, job, &edits).map_err(TestCaseError::fail)?;
        let count = &counts[end as usize];
        count.set(count.get() + 1);
        Ok(())
    });
    let [unmoved, same, explained] = counts.map(|count| count.get());
    println!("{unmoved} walks did not move, {same} ended as a new Workspace, {explained} said why not");
    if let Err(TestError::Fail(why, ((start, _), edits))) = &result {
        println!("{why}\nstart: {start}\nedits: {edits:?}");
    }
    assert!(result.is_ok(), "a walk failed");
    assert!(same > cases / 4 && explained > 0, "the walks reach too little");
}

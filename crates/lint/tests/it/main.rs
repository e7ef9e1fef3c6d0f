//! Every case of `admission-cases` has the verdict that is written beside it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod credentials;
mod own_types;

use admission::table::{TableOptions, Unlisted, WeightSource};
use admission_cases::{Case, Expect};
use instance_types::Cloud;
use instance_types::did_you_mean::hint;
use lint::{Linter, NodeSource, Settings, Violation};
use preset_catalog::estimate::DEFAULT_CONTEXT_TOKENS;
use preset_catalog::fit::{FitOptions, RetiredTypes, compare_instance_types};
use preset_catalog::{Catalog, EngineImage};
use proptest::prelude::*;
use serde_json::{Value, json};

fn settings() -> Settings<'static> {
    Settings {
        presets: Catalog::embedded().unwrap(),
        instance_types: instance_types::Catalog::embedded().unwrap(),
        nodes: NodeSource::Provisioned,
        options: TableOptions::new(Cloud::Azure, Unlisted::Refused),
    }
}

fn planned(object: &Value) -> bool {
    let settings = settings();
    let preset = settings
        .presets
        .find(object["inference"]["preset"]["name"].as_str().unwrap())
        .unwrap();
    let name = object["resource"]["instanceType"].as_str().unwrap();
    let instance_type = settings.instance_types.lookup(Cloud::Azure, name).unwrap();
    let asked = object["metadata"]["annotations"]["kaito.sh/max-context-tokens"].as_str();
    let context = asked.map_or(DEFAULT_CONTEXT_TOKENS, |text| text.parse().unwrap());
    let prefers = preset.inference.as_ref().unwrap().runtimes[0];
    let native = prefers == preset_catalog::Runtime::Native && instance_type.nvidia_gpus() == 0;
    let options = FitOptions {
        max_nodes: native.then_some(1),
        ..FitOptions::default()
    };
    if instance_type.retired.is_some() {
        let all: Vec<_> = settings.instance_types.of(Cloud::Azure).collect();
        let plan = compare_instance_types(preset, &all, context, &options);
        return plan.replacement(instance_type).is_some();
    }
    compare_instance_types(preset, &[instance_type], context, &options)
        .best()
        .is_some()
}

fn verdict(linter: &Linter<'_>, case: &Case) -> Vec<Violation> {
    match &case.old {
        Some(old) => linter.update(old, &case.object),
        None => linter.create(&case.object),
    }
}

#[test]
fn every_case_is_as_written() {
    let linter = Linter::new(settings()).unwrap();
    let cases = admission_cases::cases();
    assert!(cases.len() >= 500, "{}", cases.len());
    let (mut accepted, mut wrong) = (0, Vec::new());
    for case in &cases {
        if let Some(old) = &case.old {
            assert_eq!(linter.create(old), [], "{old}");
        }
        let found = verdict(&linter, case);
        let texts: Vec<String> = found.iter().map(Violation::to_string).collect();
        accepted += usize::from(found.is_empty());
        let right = match case.expect {
            Expect::Accepted => found.is_empty(),
            Expect::Refused(part) => texts.iter().any(|text| text.contains(part)),
            Expect::AsPlanned => found.is_empty() == planned(&case.object),
        };
        if !right {
            wrong.push(format!("{:?}\n  {}\n  {texts:?}", case.expect, case.object));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert!(
        accepted > 100 && cases.len() - accepted > 200,
        "{accepted} of {}",
        cases.len()
    );
}

/// Names that are not in the tables: parts, other numbers, slips, and nothing alike.
const UNKNOWN: [&str; 18] = [
    "phi4",
    "phi-5",
    "llama-3-8b",
    "Flacon-7b",
    "mistral7b",
    "qwen2.5 coder",
    "deepseek",
    "gemma-4b-it",
    "acme/phi-4-mini",
    "a/b/c",
    "x",
    "Standard_NC24ads_A100_v5",
    "Standard_NC6s_v4",
    "Standard_N",
    "Standard_D9s_v5",
    "p4d.24xlarge",
    "YOUR_INSTANCE_TYPE",
    "standard-nc-40-ads-h100",
];

/// The policy measures in CEL, which the API server evaluates, and all programs in Rust.
#[test]
fn all_suggest_the_same_names_in_one_order() {
    let settings = settings();
    let linter = Linter::new(settings).unwrap();
    let mut suggested = 0;
    let mut check = |place: &str, name: &str, near: &[&str]| {
        let object = admission_cases::with(admission_cases::inference(), place, json!(name));
        let found = linter.create(&object);
        let message = &found
            .iter()
            .find(|found| found.message.contains(name))
            .unwrap()
            .message;
        assert!(
            message.starts_with("unknown preset") || message.contains("is not known"),
            "{message}"
        );
        assert_eq!(near.is_empty(), message.contains("`kubectl kaito"), "{message}");
        assert!(message.ends_with(&hint(near)), "{message} of {near:?}");
        suggested += near.len();
    };
    let halves = settings
        .presets
        .iter()
        .step_by(6)
        .map(|preset| preset.name.split_at(preset.name.len() / 2));
    let presets: Vec<String> = halves
        .flat_map(|(a, b)| [format!("{a}{}", &b[1..]), format!("{a}-{b}"), format!("{b}{a}")])
        .collect();
    let presets = presets.iter().map(String::as_str).chain(UNKNOWN);
    for name in presets.filter(|name| settings.presets.find(name).is_none()) {
        check("/inference/preset/name", name, &settings.presets.near(name));
    }
    for name in UNKNOWN {
        check(
            "/resource/instanceType",
            name,
            &settings.instance_types.near(Cloud::Azure, name),
        );
    }
    assert!(suggested > 60, "{suggested}");
}

#[test]
fn a_refusal_says_what_would_work() {
    let linter = Linter::new(settings()).unwrap();
    let remedy = |object: &Value| linter.create(object).remove(0).remedy;
    let large = admission_cases::with(
        admission_cases::inference(),
        "/inference/preset/name",
        json!("phi-4"),
    );
    let wrong = admission_cases::with(large, "/resource/instanceType", json!("Standard_D8s_v5"));
    assert!(
        remedy(&wrong)
            .unwrap()
            .starts_with("the least costly of which one node suffices is Standard_N")
    );
}

/// A file does not tell who will apply it.
#[test]
fn rights_of_the_author_are_warnings() {
    let linter = Linter::new(settings()).unwrap();
    let needed = |object: &Value| -> Vec<String> {
        let found = linter.warnings(object);
        found.iter().map(|right| right.path.clone()).collect()
    };
    assert!(needed(&admission_cases::inference()).is_empty());
    assert_eq!(needed(&admission_cases::tuning()), ["secrets"]);
    assert_eq!(needed(&admission_cases::template()), ["inference.template"]);
    let spec = "/inference/template/spec";
    let template = admission_cases::with(
        admission_cases::template(),
        &format!("{spec}/serviceAccountName"),
        json!("builder"),
    );
    let template = admission_cases::with(template, &format!("{spec}/hostNetwork"), json!(true));
    assert_eq!(
        needed(&template),
        [
            "inference.template",
            "inference.template.spec.serviceAccountName",
            "inference.template.spec"
        ]
    );
    let invalid = admission_cases::with(template, "/resource/count", json!(0));
    assert!(needed(&invalid).is_empty());
}

#[test]
fn settings_without_effect_are_warnings() {
    let linter = Linter::new(settings()).unwrap();
    let warned = |object: &Value, part: &str| {
        assert_eq!(linter.create(object), []);
        let found = linter.warnings(object);
        assert!(found.iter().any(|note| note.message.contains(part)), "{found:?}");
    };
    for (name, value) in [
        ("performance-mode", "throughput"),
        ("use-local-weights", "false"),
        ("runtime", "Transformers"),
    ] {
        let object = admission_cases::annotated(admission_cases::inference(), name, value);
        warned(
            &object,
            if name == "runtime" {
                "means vllm"
            } else {
                "has no effect"
            },
        );
    }
    let retired = admission_cases::with(
        admission_cases::inference(),
        "/resource/instanceType",
        json!("Standard_NC6s_v3"),
    );
    warned(
        &admission_cases::with(retired, "/inference/preset/name", json!("phi-3-mini-4k-instruct")),
        "is retired since 2025-09-30: Standard_NV36ads_A10_v5 is bought instead, for $3.20/h instead of $3.06/h",
    );
    let preferred = admission_cases::with(
        admission_cases::inference(),
        "/resource/preferredNodes",
        json!(["n"]),
    );
    warned(&preferred, "preferredNodes has no effect");
    let private = admission_cases::with(
        admission_cases::inference(),
        "/inference/preset/accessMode",
        json!("private"),
    );
    warned(&private, "accessMode has no effect");
}

#[test]
fn nodes_that_are_brought_along() {
    let linter = Linter::new(Settings {
        nodes: NodeSource::Existing,
        ..settings()
    })
    .unwrap();
    let without = admission_cases::with(
        admission_cases::inference(),
        "/resource/instanceType",
        Value::Null,
    );
    assert_eq!(linter.create(&without), []);
    let found = linter.create(&admission_cases::inference());
    assert!(found[0].message.contains("must be empty"), "{found:?}");
    // It was set while nodes were still made.
    let edited = admission_cases::with(admission_cases::inference(), "/inference/config", json!("c"));
    assert_eq!(linter.update(&admission_cases::inference(), &edited), []);
}

/// As after nodes were brought along and are made from now on.
#[test]
fn an_instance_type_that_is_set_late_is_looked_at() {
    let linter = Linter::new(settings()).unwrap();
    let stored = admission_cases::with(
        admission_cases::inference(),
        "/resource/instanceType",
        Value::Null,
    );
    let set = |name: &str| admission_cases::with(stored.clone(), "/resource/instanceType", name.into());
    assert_eq!(linter.update(&stored, &set("Standard_NC24ads_A100_v4")), []);
    for (name, part) in [
        ("anything", "is not known in cloud azure"),
        ("Standard_NC4as_T4_v3", "compute capability"),
        ("", "must be set"),
    ] {
        let found = linter.update(&stored, &set(name));
        assert!(
            found.iter().any(|found| found.message.contains(part)),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn the_settings_of_the_installation_count() {
    let check = |change: &dyn Fn(&mut TableOptions), object: &Value, expected: &[&str]| {
        let mut settings = settings();
        change(&mut settings.options);
        let linter = Linter::new(settings).unwrap();
        let found: Vec<String> = linter
            .create(object)
            .into_iter()
            .map(|found| found.message)
            .collect();
        assert_eq!(found, expected);
    };
    let on = |object: Value, name: &str| admission_cases::with(object, "/resource/instanceType", json!(name));
    let named = |name: &str| {
        admission_cases::with(
            admission_cases::inference(),
            "/inference/preset/name",
            json!(name),
        )
    };
    let retired = on(named("phi-3-mini-4k-instruct"), "Standard_NC6s_v3");
    check(
        &|options| options.retired = RetiredTypes::Refuse,
        &retired,
        &[
            "instance type Standard_NC6s_v3 is retired since 2025-09-30; what would work is 1 node of \
           Standard_NV36ads_A10_v5 or 1 node of Standard_NC24ads_A100_v4 or 1 node of Standard_NC144ds_xl_RTXPRO6000BSE_v6",
        ],
    );
    let t4 = on(named("phi-3-mini-4k-instruct"), "Standard_NC4as_T4_v3");
    check(&|options| options.engine = EngineImage::UNKNOWN, &t4, &[]);
    let large = admission_cases::with(
        named("llama-3.3-70b-instruct"),
        "/inference/preset/presetOptions",
        json!({"modelAccessSecret": "hub"}),
    );
    let large = on(large, "Standard_NC24ads_A100_v4");
    let nodes = |nodes| move |options: &mut TableOptions| options.ceilings.workspace.nodes = Some(nodes);
    check(&nodes(3), &large, &[]);
    check(
        &nodes(2),
        &large,
        &["3 nodes of Standard_NC24ads_A100_v4 would cost $11.02/h; a Workspace may have 2 nodes"],
    );
    let usd = |usd: &'static str| {
        move |options: &mut TableOptions| options.ceilings.namespace.usd_per_hour = usd.parse().ok()
    };
    check(&usd("11.019"), &large, &[]);
    check(
        &usd("11.01"),
        &large,
        &[
            "3 nodes of Standard_NC24ads_A100_v4 would cost $11.02/h; all Workspaces of a namespace may cost $11.01/h",
        ],
    );
    // The price is that of the node that is bought.
    check(&usd("3.2"), &retired, &[]);
    check(
        &usd("3.10"),
        &retired,
        &[
            "1 node of Standard_NV36ads_A10_v5 would cost $3.20/h; all Workspaces of a namespace may cost $3.10/h",
        ],
    );
    let four = admission_cases::with(admission_cases::template(), "/resource/count", json!(4));
    check(
        &nodes(2),
        &on(four, "Standard_D8s_v5"),
        &["4 nodes of Standard_D8s_v5 would cost $1.54/h; a Workspace may have 2 nodes"],
    );
    check(
        &usd("50"),
        &on(admission_cases::template(), "Standard_E8s_v5"),
        &["the price of Standard_E8s_v5 is not known, and prices have a ceiling"],
    );
}

#[test]
fn a_hub_may_know_more() {
    let linter = Linter::new(Settings {
        options: TableOptions::new(Cloud::Azure, Unlisted::MayBeOnHub),
        ..settings()
    })
    .unwrap();
    let named = |name: &str| {
        admission_cases::with(
            admission_cases::inference(),
            "/inference/preset/name",
            name.into(),
        )
    };
    assert_eq!(linter.create(&named("acme/unheard-of")), []);
    assert_eq!(linter.create(&named("unheard-of")).len(), 1);
}

#[test]
fn a_gated_model_needs_a_token_unless_a_mirror_has_it() {
    let gated = admission_cases::with(
        admission_cases::inference(),
        "/inference/preset/name",
        "gemma-3-4b-instruct".into(),
    );
    let hub = Linter::new(settings()).unwrap();
    let found = hub.create(&gated);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "preset.presetOptions.modelAccessSecret");
    let mirror = Linter::new(Settings {
        options: TableOptions {
            weights: WeightSource::Mirror,
            ..TableOptions::new(Cloud::Azure, Unlisted::Refused)
        },
        ..settings()
    })
    .unwrap();
    assert_eq!(mirror.create(&gated), []);
}

#[test]
fn what_is_being_deleted_is_left_alone() {
    let linter = Linter::new(settings()).unwrap();
    let stored = admission_cases::with(
        admission_cases::inference(),
        "/inference/preset/name",
        json!("gone-from-the-catalog"),
    );
    let mut edited = admission_cases::annotated(stored.clone(), "performance-mode", "fast");
    assert!(!linter.update(&stored, &edited).is_empty());
    edited["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(linter.update(&stored, &edited), []);
}

#[test]
fn what_left_the_catalog_can_still_be_edited() {
    let linter = Linter::new(settings()).unwrap();
    let stored = admission_cases::with(
        admission_cases::inference(),
        "/inference/preset/name",
        json!("gone-from-the-catalog"),
    );
    let edited = admission_cases::with(stored.clone(), "/inference/config", json!("c"));
    assert_eq!(linter.update(&stored, &edited), []);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    let field = prop_oneof![
        Just("preset"),
        Just("name"),
        Just("template"),
        Just("spec"),
        Just("containers"),
        Just("adapters"),
        Just("source"),
        Just("image"),
        Just("urls"),
        Just("matchLabels"),
        Just("instanceType"),
        Just("count"),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(field.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

#[test]
fn no_object_breaks_it() {
    let linter = Linter::new(settings()).unwrap();
    let config = ProptestConfig::with_cases(128);
    proptest!(config, |(resource in json_value(), inference in json_value(), metadata in json_value())| {
        let object = json!({"resource": resource, "inference": inference, "metadata": metadata});
        prop_assert!(!linter.create(&object).is_empty());
        prop_assert!(!linter.update(&admission_cases::inference(), &object).is_empty());
        let whole = admission_cases::with(admission_cases::inference(), "/inference", inference);
        prop_assert_eq!(linter.create(&whole), linter.create(&whole));
    });
}

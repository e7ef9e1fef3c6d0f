//! The administrator's instance types, from a file and from a registry.

use instance_types::Catalog;
use preset_registry::ServerOptions;

use crate::{golden, registry, run, run_with, tests};

const TABLE: [&str; 2] = ["--instance-type-table", "manifests/new-hardware.yaml"];
const PLAN: [&str; 6] = [
    "plan",
    "llama-3.3-70b-instruct",
    "--instance-type",
    "Standard_ND96isr_VR300_v7",
    "--instance-type",
    "Standard_NC24ads_A100_v4",
];
const LINT: [&str; 3] = ["lint", "-f", "manifests/new-hardware-workspace.yaml"];

#[test]
fn a_plan_shows_where_a_type_comes_from() {
    golden("plan-own-types.txt", 0, &[&PLAN[..], &TABLE].concat());
    let json = run(&[&PLAN[..], &TABLE, &["-o", "json"]].concat());
    assert!(
        json.out.contains("\"source\": \"manifests/new-hardware.yaml\""),
        "{}",
        json.out
    );
    let unknown = run(&PLAN);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.err.contains("Standard_ND96isr_VR300_v7"),
        "{}",
        unknown.err
    );
}

#[test]
fn lint_knows_the_types_of_a_file() {
    let refused = run(&LINT);
    assert_eq!(refused.code, 1);
    assert!(
        refused.out.contains("is not known in cloud azure"),
        "{}",
        refused.out
    );
    let accepted = run(&[&LINT[..], &TABLE].concat());
    assert_eq!(
        (accepted.code, accepted.err.as_str()),
        (0, ""),
        "{}",
        accepted.out
    );
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    let wrong = "cloud: azure\ninstance_types:\n- {name: box, gpu: 1}\n";
    let ran = run_with(&[&PLAN[..], &["--instance-type-table", "-"]].concat(), wrong);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err
            .contains("standard input: line 3 column 15: unknown field `gpu`"),
        "{}",
        ran.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_knows_its_own_types() {
    let path = tests().join(TABLE[1]);
    let text = std::fs::read_to_string(path).unwrap();
    let types = Catalog::embedded()
        .unwrap()
        .with_files([(TABLE[1], text.as_str())]);
    let options = ServerOptions {
        instance_types: types.unwrap().catalog.into(),
        ..ServerOptions::default()
    };
    let address = registry(options).await;
    for question in [&PLAN[..], &LINT] {
        let offline = run(&[question, &TABLE].concat());
        let online = run(&[question, &["--registry", &address]].concat());
        assert_eq!((online.code, online.err), (0, String::new()), "{question:?}");
        assert_eq!(online.out, offline.out, "{question:?}");
    }
}

//! The manifests of `examples/`: each passes `lint`, and `plan` finds nodes for it.

use std::path::{Path, PathBuf};

use crate::run;

/// Manifests for other settings of the chart than the default ones, with the flags that say so.
const SETTINGS: [(&str, &[&str]); 2] = [
    ("eks.yaml", &["--cloud", "aws"]),
    ("own-nodes.yaml", &["--node-provisioner", "byo"]),
];

/// Models that only a hub knows.
const OF_A_HUB: &str = "model-of-the-hub.yaml";

fn manifests() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let folders = ["inference", "fine-tuning", "upstream"];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(examples.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// Flags for a manifest of other settings; none for most.
fn settings(file: &Path) -> &'static [&'static str] {
    let name = file.file_name().unwrap();
    let found = SETTINGS.iter().find(|(of, _)| name == *of);
    found.map_or(&[], |(_, flags)| flags)
}

fn passes_lint(files: &[&PathBuf], flags: &[&str]) {
    let mut args = vec!["lint", "-f"];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    args.extend(flags);
    let lint = run(&args);
    assert_eq!((lint.code, lint.err.as_str()), (0, ""), "{}", lint.out);
}

#[test]
fn every_example_passes_lint() {
    let files = manifests();
    assert!(files.len() >= 30, "{files:?}");
    // One run for all that have the same settings: a run compiles every rule.
    let (usual, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| settings(file).is_empty());
    let usual: Vec<_> = usual
        .into_iter()
        .filter(|file| !file.ends_with(OF_A_HUB))
        .collect();
    passes_lint(&usual, &[]);
    for file in others {
        passes_lint(&[file], settings(file));
    }
}

#[test]
fn every_example_with_a_preset_has_a_plan() {
    for file in manifests() {
        let text = std::fs::read_to_string(&file).unwrap();
        if file.ends_with(OF_A_HUB) || !text.contains("preset:") {
            continue;
        }
        let flags = settings(&file);
        let flags = if flags.contains(&"--cloud") { flags } else { &[] };
        let path = file.to_str().unwrap();
        let plan = run(&[&["plan", "-f", path], flags].concat());
        assert_eq!((plan.code, plan.err.as_str()), (0, ""), "{path}: {}", plan.out);
        assert!(plan.out.contains("$/HOUR"), "{path}: {}", plan.out);
    }
}

/// The table of `examples/README.md` names every manifest.
#[test]
fn every_example_is_listed() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let list = std::fs::read_to_string(examples.join("README.md")).unwrap();
    let of_cluster = std::fs::read_dir(examples.join("cluster")).unwrap();
    let of_cluster = of_cluster.map(|entry| entry.unwrap().path());
    for file in manifests().into_iter().chain(of_cluster) {
        let place = file.strip_prefix(&examples).unwrap().to_str().unwrap();
        assert!(
            place.starts_with("upstream/") || list.contains(&format!("({place})")),
            "examples/README.md does not name {place}"
        );
    }
}

/// The quick start tunes a model, and serves that model with the adapter.
#[test]
fn the_adapter_of_the_quick_start_is_of_its_model() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let value_of = |file: &str, key: &str, after: &str| {
        let text = std::fs::read_to_string(examples.join(file)).unwrap();
        let part = &text[text.find(after).unwrap()..];
        let line = part.lines().find(|line| line.trim().starts_with(key));
        line.unwrap().trim().trim_start_matches(key).trim().to_owned()
    };
    let (tuned, served) = ("fine-tuning/phi-3-qlora.yaml", "inference/phi-3-adapter.yaml");
    assert_eq!(
        value_of(tuned, "name:", "preset:"),
        value_of(served, "name:", "preset:")
    );
    assert_eq!(
        value_of(tuned, "image:", "output:"),
        value_of(served, "image:", "adapters:")
    );
}

/// Every field of the example of a node class is one of its definition.
#[test]
fn the_node_class_is_valid() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cluster/node-class.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let written: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let class: kaito_api::KaitoNodeClass = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&class).unwrap()["spec"], written["spec"]);
}

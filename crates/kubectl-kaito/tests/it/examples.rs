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

#[test]
fn every_example_passes_lint_and_has_a_plan() {
    let files = manifests();
    assert!(files.len() >= 30, "{files:?}");
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let path = file.to_str().unwrap();
        let settings = SETTINGS.iter().find(|(of, _)| *of == name);
        let settings = settings.map_or(&[][..], |(_, flags)| flags);
        let lint = run(&[&["lint", "-f", path], settings].concat());
        if name == OF_A_HUB {
            assert!(lint.code == 1 && lint.out.contains("unknown preset"), "{}", lint.out);
            continue;
        }
        assert_eq!((lint.code, lint.err.as_str()), (0, ""), "{path}: {}", lint.out);
        let cloud = settings.iter().any(|flag| *flag == "--cloud");
        let plan = run(&[&["plan", "-f", path], if cloud { settings } else { &[] }].concat());
        let text = std::fs::read_to_string(file).unwrap();
        if text.contains("preset:") {
            assert_eq!((plan.code, plan.err.as_str()), (0, ""), "{path}: {}", plan.out);
            assert!(plan.out.contains("$/HOUR"), "{path}: {}", plan.out);
        }
    }
}

/// The table of `examples/README.md` names every manifest.
#[test]
fn every_example_is_listed() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let list = std::fs::read_to_string(examples.join("README.md")).unwrap();
    for file in manifests() {
        let place = file.strip_prefix(&examples).unwrap().to_str().unwrap();
        assert!(
            place.starts_with("upstream/") || list.contains(&format!("({place})")),
            "examples/README.md does not name {place}"
        );
    }
}

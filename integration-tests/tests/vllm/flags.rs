//! The closed list of the engine's flags is the list of vLLM's own parser: none is missing, and none is left from another version.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Prefix of the answer; vLLM prints other lines as well.
const ANSWER: &str = "RESULT ";

/// Flags of the parser itself.
const NOT_OF_THE_ENGINE: [&str; 1] = ["help"];

/// Flags by name, with the kind of their values.
type Flags = BTreeMap<String, String>;

#[test]
fn the_list_of_flags_is_that_of_the_engines_parser() {
    let Some(python) = crate::python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vllm/flags.py");
    let output = Command::new(python).arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let answer = said.lines().find_map(|line| line.strip_prefix(ANSWER));
    let answer = answer.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let mut theirs: Flags = serde_json::from_str(answer).unwrap();
    theirs.retain(|name, _| !NOT_OF_THE_ENGINE.contains(&name.as_str()));
    let (mut ours, refused) = listed();
    for name in refused {
        // The kind of a refused flag does not matter.
        let kind = theirs.get(&name).map_or("missing in vLLM", String::as_str);
        let twice = ours.insert(name.clone(), kind.to_owned());
        assert_eq!(twice, None, "{name} is both allowed and refused");
    }
    println!("{} flags", ours.len());
    assert_eq!(ours, theirs);
}

/// The allowed flags of the catalog, and the names of the refused ones.
fn listed() -> (Flags, Vec<String>) {
    let path = "../crates/preset-catalog/data/vllm_flags.yaml";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let lists: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let words = |list: &Value| -> Vec<String> {
        let text = list.as_str().unwrap();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let mut allowed = Flags::new();
    for (list, kind) in [("values", "value"), ("switches", "switch"), ("bare", "bare")] {
        allowed.extend(
            words(&lists[list])
                .into_iter()
                .map(|name| (name, kind.to_owned())),
        );
    }
    let refused = lists["refused"].as_object().unwrap().values();
    (allowed, refused.flat_map(words).collect())
}

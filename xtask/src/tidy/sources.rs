//! Checks Rust sources and documents: size, layout, a module doc, nothing unfinished.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::problem::Problem;
use crate::repository;

const SOURCE_LINES: usize = 400;
const TEST_LINES: usize = 700;
const ARCHITECTURE_LINES: usize = 300;

/// Written in two parts, so that this file does not hold them itself.
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("dbg", "!("),
    concat!("unimplemented", "!("),
];

pub(super) fn check() -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    for package in repository::packages()? {
        for path in repository::rust_files(&package)? {
            let text =
                fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let shown = repository::shown(&path);
            let limit = line_limit(path.strip_prefix(&package).unwrap_or(&path));
            if path.file_name().is_some_and(|name| name == "mod.rs") {
                found.push(format!("{shown}: a module with children is `x.rs` beside `x/`"));
            }
            found.extend(
                problems(&text, limit)
                    .into_iter()
                    .map(|problem| format!("{shown}: {problem}")),
            );
        }
    }
    let architecture = fs::read_to_string(repository::root().join("ARCHITECTURE.md")).unwrap_or_default();
    found.extend(
        too_long(&architecture, ARCHITECTURE_LINES).map(|problem| format!("ARCHITECTURE.md: {problem}")),
    );
    Ok(found)
}

/// Tests may be longer: a file of tests is a list, not an idea.
fn line_limit(path: &Path) -> usize {
    if is_test(path) { TEST_LINES } else { SOURCE_LINES }
}

/// Reports whether a source holds tests only: `x/tests.rs`, or below a directory `tests`.
pub(super) fn is_test(path: &Path) -> bool {
    let in_tests = path
        .iter()
        .any(|part| part == "tests" || part == "integration-tests");
    in_tests || path.file_name().is_some_and(|name| name == "tests.rs")
}

fn problems(text: &str, limit: usize) -> Vec<Problem> {
    let mut found: Vec<Problem> = too_long(text, limit).into_iter().collect();
    if !text.trim_start().starts_with("//!") {
        found.push("does not begin with a module doc (`//!`)".to_owned());
    }
    for (index, line) in text.lines().enumerate() {
        let unfinished = UNFINISHED.iter().filter(|word| line.contains(**word));
        found.extend(unfinished.map(|word| format!("line {}: {word}…)", index + 1)));
        if line.trim_start().starts_with("#[path") {
            found.push(format!("line {}: a module lies where its name says", index + 1));
        }
    }
    found
}

fn too_long(text: &str, limit: usize) -> Option<Problem> {
    let lines = text.lines().count();
    (lines > limit).then(|| format!("{lines} lines, at most {limit} are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_checked() {
        assert!(problems("//! Doc.\nfn f() {}\n", 2).is_empty());
        assert_eq!(problems("//! Doc.\nfn f() {}\n", 1).len(), 1);
        assert_eq!(problems("fn f() {}\n", 2).len(), 1);
        assert_eq!(
            problems(&format!("//! Doc.\nfn f() {{ {} }}\n", concat!("todo", "!()")), 2).len(),
            1
        );
        assert_eq!(problems("//! Doc.\n#[path = \"x.rs\"]\nmod y;\n", 3).len(), 1);
    }

    #[test]
    fn tests_may_be_longer() {
        assert_eq!(line_limit(Path::new("src/lib.rs")), SOURCE_LINES);
        assert_eq!(line_limit(Path::new("src/phase/tests.rs")), TEST_LINES);
        assert_eq!(line_limit(Path::new("src/plan/tests/long.rs")), TEST_LINES);
        assert_eq!(line_limit(Path::new("tests/it/main.rs")), TEST_LINES);
    }
}

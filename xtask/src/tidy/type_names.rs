//! Checks that each type name has one meaning: at most two types of the workspace have the same name.
//!
//! Names in [`SHARED`] have the same meaning in every crate. Tests and nested declarations do not count.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::problem::Problem;
use crate::repository;

/// Most declarations of one name.
const LIMIT: usize = 2;

/// Names that have one meaning, although several crates declare them.
const SHARED: &[(&str, &str)] = &[
    ("Args", "command line arguments of a program or a subcommand"),
    ("Command", "subcommands of a program"),
    ("Error", "the error type of a crate or a module"),
    ("Observed", "the input of a planner"),
    (
        "Settings",
        "configuration of a component, parsed from its arguments",
    ),
    ("Result", "a crate's alias of std's Result"),
];

/// Names that are still declared more often, with their number. Entries may only shrink and go.
const KNOWN: &[(&str, usize)] = &[];

/// A keyword that declares a type.
const KEYWORDS: [&str; 4] = ["struct ", "enum ", "trait ", "union "];

pub(super) fn check() -> Result<Vec<Problem>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in repository::packages()? {
        let src = package.join("src");
        if !src.is_dir() {
            continue;
        }
        for path in repository::rust_files(&src)?
            .into_iter()
            .filter(|path| !is_test(path))
        {
            let text =
                fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            for name in declared(&text) {
                places
                    .entry(name.to_owned())
                    .or_default()
                    .push(repository::shown(&path));
            }
        }
    }
    Ok(problems(&places))
}

fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.iter().any(|part| part == "tests")
}

/// Names of the types that a text declares at its top level.
fn declared(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let rest = without_visibility(line);
        let rest = KEYWORDS.iter().find_map(|keyword| rest.strip_prefix(keyword))?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        Some(&rest[..end])
    })
}

fn without_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else {
        return line;
    };
    let rest = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => rest,
        None => rest,
    };
    rest.trim_start()
}

fn problems(places: &BTreeMap<String, Vec<String>>) -> Vec<Problem> {
    let shared = |name: &str| SHARED.iter().any(|(shared, _)| *shared == name);
    let limit = |name: &str| {
        KNOWN
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(LIMIT, |(_, count)| *count)
    };
    places
        .iter()
        .filter(|(name, places)| !shared(name) && places.len() > limit(name))
        .map(|(name, places)| {
            format!(
                "{name} is declared {} times, at most {LIMIT} are allowed: {}",
                places.len(),
                places.join(", ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_at_the_top_level_count() {
        let text = "pub(crate) struct A;\nenum B { C }\n    struct Nested;\npub trait D<T> {}\nimpl A {}\n";
        assert_eq!(declared(text).collect::<Vec<_>>(), ["A", "B", "D"]);
    }

    #[test]
    fn a_third_declaration_is_a_problem() {
        let of = |name: &str, count| {
            let places = vec!["a.rs".to_owned(); count];
            problems(&BTreeMap::from([(name.to_owned(), places)])).len()
        };
        assert_eq!((of("Plan", 2), of("Plan", 3), of("Error", 9)), (0, 1, 0));
    }
}

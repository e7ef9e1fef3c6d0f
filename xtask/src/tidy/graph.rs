//! Checks the graph of crates against the table in `edges`.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::edges::{Allowed, IMPURE, PURE, TABLE};
use super::problem::Problem;
use crate::repository;

/// The part of `cargo metadata` that is read.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    /// Present for our own crates only.
    path: Option<String>,
}

/// Every edge between our crates is in the table, and the table holds nothing else.
pub(super) fn edges() -> Result<Vec<Problem>> {
    let text = cargo(&["metadata", "--no-deps", "--format-version=1"])?;
    let metadata: Metadata = serde_json::from_str(&text).context("cargo metadata is unreadable")?;
    let mut problems = unknown_packages(&metadata);
    for allowed in TABLE {
        match metadata
            .packages
            .iter()
            .find(|package| package.name == allowed.package)
        {
            Some(package) => problems.extend(compare(package, allowed)),
            None => problems.push(format!(
                "{} is in the table and not in the workspace",
                allowed.package
            )),
        }
    }
    Ok(problems)
}

fn unknown_packages(metadata: &Metadata) -> Vec<Problem> {
    let known = |name: &str| TABLE.iter().any(|allowed| allowed.package == name);
    let unknown = metadata.packages.iter().filter(|package| !known(&package.name));
    unknown
        .map(|package| format!("{} is not in xtask/src/tidy/edges.rs", package.name))
        .collect()
}

fn compare(package: &Package, allowed: &Allowed) -> Vec<Problem> {
    let ours = |dev: bool| -> BTreeSet<&str> {
        let mine = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some());
        let kind = mine.filter(|dependency| (dependency.kind.as_deref() == Some("dev")) == dev);
        kind.map(|dependency| dependency.name.as_str()).collect()
    };
    let mut problems = Vec::new();
    for (what, actual, table) in [
        ("uses", ours(false), allowed.uses),
        ("uses in tests", ours(true), allowed.tests_use),
    ] {
        let table: BTreeSet<&str> = table.iter().copied().collect();
        let name = &package.name;
        problems.extend(
            actual
                .difference(&table)
                .map(|to| format!("{name} {what} {to}, which the table does not allow")),
        );
        problems.extend(
            table
                .difference(&actual)
                .map(|to| format!("the table says {name} {what} {to}, which it does not")),
        );
    }
    problems
}

/// No pure crate reaches an impure one.
///
/// Asked of `cargo tree` one crate at a time: `cargo metadata` would show the features that other crates
/// of the workspace turn on.
pub(super) fn purity() -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for package in PURE {
        let tree = cargo(&[
            "tree",
            "--package",
            package,
            "--edges=normal",
            "--prefix=none",
            "--format={p}",
        ])?;
        let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        let impure = IMPURE.iter().filter(|name| reached.contains(**name));
        problems.extend(impure.map(|name| {
            format!("{package} reaches {name}: see `cargo tree --package {package} --edges normal --invert {name}`")
        }));
    }
    Ok(problems)
}

fn cargo(args: &[&str]) -> Result<String> {
    let output = repository::cargo()
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .context("failed to run cargo")?;
    ensure!(output.status.success(), "cargo {} failed", args.join(" "));
    String::from_utf8(output.stdout).context("cargo wrote no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
            path: Some("/somewhere".to_owned()),
        };
        Package {
            name: "a".to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn new_and_vanished_edges_are_problems() {
        let allowed = Allowed {
            package: "a",
            uses: &["b", "c"],
            tests_use: &[],
        };
        assert!(compare(&package(&[("b", None), ("c", Some("build"))]), &allowed).is_empty());
        let problems = compare(
            &package(&[("b", None), ("d", None), ("c", Some("dev"))]),
            &allowed,
        );
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn every_pure_crate_uses_pure_crates_only() {
        for allowed in TABLE.iter().filter(|allowed| PURE.contains(&allowed.package)) {
            assert!(
                allowed.uses.iter().all(|used| PURE.contains(used)),
                "{}",
                allowed.package
            );
        }
    }
}

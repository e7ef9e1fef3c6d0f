//! `cargo xtask gen [--check]`: files that are made from the code and committed.
//!
//! A new kind of generated file is one more module with a function that gives [`Generated`] files.

mod clippy;
mod crds;
mod generated;
mod metrics;
mod policies;
mod presets;
mod reasons;
mod reference;
mod schemas;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use self::generated::Generated;
use crate::repository;

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Fail if a file differs from what would be written; write nothing
    #[arg(long)]
    check: bool,
}

/// Directories in which every file is generated. A file that is no longer generated is removed.
const OWNED: [&str; 4] = [
    "deploy/crds",
    "charts/kaito/definitions",
    "charts/kaito/policies",
    "deploy/schemas",
];

fn files() -> Result<Vec<Generated>> {
    let mut files = crds::files()?;
    files.extend(clippy::files()?);
    files.extend(metrics::files()?);
    files.extend(policies::files()?);
    files.extend(presets::files()?);
    files.extend(reasons::files()?);
    files.extend(reference::files()?);
    files.extend(schemas::files()?);
    Ok(files)
}

pub(crate) fn run(args: Args) -> Result<()> {
    let root = repository::root();
    let files = files()?;
    let mut problems: Vec<String> = files.iter().filter_map(|file| difference(root, file)).collect();
    let stale = stale(root, &files)?;
    problems.extend(
        stale
            .iter()
            .map(|path| format!("{} is no longer generated", path.display())),
    );
    if args.check {
        return report(&problems, files.len());
    }
    for file in &files {
        write(&root.join(&file.path), &file.contents)?;
    }
    for path in &stale {
        fs::remove_file(root.join(path)).with_context(|| format!("failed to remove {}", path.display()))?;
    }
    println!("gen: {} files, {} changed", files.len(), problems.len());
    Ok(())
}

/// The same as `cargo xtask gen --check`.
pub(crate) fn check() -> Result<()> {
    run(Args { check: true })
}

fn report(problems: &[String], count: usize) -> Result<()> {
    if problems.is_empty() {
        println!("gen: {count} files are up to date");
        return Ok(());
    }
    for problem in problems {
        println!("gen: {problem}");
    }
    bail!(
        "{} generated files are out of date: run `cargo xtask gen` and commit the result",
        problems.len()
    )
}

/// The difference between a file and its generated contents, if there is one.
fn difference(root: &Path, file: &Generated) -> Option<String> {
    let shown = file.path.display();
    let Ok(actual) = fs::read_to_string(root.join(&file.path)) else {
        return Some(format!("{shown} is missing"));
    };
    if actual == file.contents {
        return None;
    }
    let pairs = actual.lines().zip(file.contents.lines());
    let place = pairs
        .enumerate()
        .find(|(_, (actual, expected))| actual != expected);
    Some(match place {
        Some((index, (actual, expected))) => {
            format!(
                "{shown} differs at line {}:\n  - {actual}\n  + {expected}",
                index + 1
            )
        }
        None => format!("{shown} differs in length"),
    })
}

/// Files in an owned directory that are no longer generated.
fn stale(root: &Path, files: &[Generated]) -> Result<Vec<PathBuf>> {
    let known: BTreeSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let mut stale = Vec::new();
    for dir in OWNED.map(Path::new).iter().filter(|dir| root.join(dir).is_dir()) {
        for entry in fs::read_dir(root.join(dir))? {
            let path = dir.join(entry?.file_name());
            if !known.contains(path.as_path()) {
                stale.push(path);
            }
        }
    }
    Ok(stale)
}

fn write(path: &Path, contents: &str) -> Result<()> {
    let dir = path.parent().context("a generated file needs a directory")?;
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(path, contents))
        .with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(contents: &str) -> Generated {
        Generated {
            path: "deploy/crds/a.yaml".into(),
            contents: contents.to_owned(),
        }
    }

    #[test]
    fn a_difference_is_shown_by_its_first_line() {
        let root = tempfile::tempdir().unwrap();
        assert!(
            difference(root.path(), &file("a\n"))
                .unwrap()
                .contains("is missing")
        );
        write(&root.path().join("deploy/crds/a.yaml"), "a\nb\n").unwrap();
        assert_eq!(difference(root.path(), &file("a\nb\n")), None);
        let hint = difference(root.path(), &file("a\nc\n")).unwrap();
        assert!(hint.contains("line 2:\n  - b\n  + c"), "{hint}");
        assert!(
            difference(root.path(), &file("a\nb\nc\n"))
                .unwrap()
                .contains("length")
        );
    }

    #[test]
    fn a_file_nobody_generates_is_stale() {
        let root = tempfile::tempdir().unwrap();
        write(&root.path().join("deploy/crds/old.yaml"), "").unwrap();
        assert_eq!(
            stale(root.path(), &[file("")]).unwrap(),
            [PathBuf::from("deploy/crds/old.yaml")]
        );
    }
}

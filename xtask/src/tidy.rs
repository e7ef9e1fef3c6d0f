//! `cargo xtask tidy`: rules of the house that no compiler checks. One file a group of rules.

mod alerts;
mod edges;
mod graph;
mod imports;
pub(crate) mod links;
mod lockfile;
mod manifests;
mod problem;
mod sentences;
mod sources;
mod text;
mod type_names;
mod unused;
mod versions;

use std::path::PathBuf;

use anyhow::{Result, bail};

pub(crate) use self::edges::PURE;
use self::problem::Problem;
use crate::repository;

/// Finds every place where the rules of a group are broken.
type Rule = fn() -> Result<Vec<Problem>>;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only list the sentences below these paths that break docs/style.md [default: all]
    #[arg(long, num_args = 0.., value_name = "PATH")]
    sentences: Option<Vec<PathBuf>>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.sentences {
        Some(paths) if paths.is_empty() => sentences::list(&[repository::root().to_owned()]),
        Some(paths) => sentences::list(paths),
        None => check(),
    }
}

/// Checks all rules.
pub(crate) fn check() -> Result<()> {
    let rules: [(&str, Rule); 13] = [
        ("crate edges", graph::edges),
        ("pure crates", graph::purity),
        ("lock file", lockfile::check),
        ("manifests", manifests::check),
        ("sources", sources::check),
        ("import cycles", imports::check),
        ("unused dependencies", unused::dependencies),
        ("unused public items", unused::public_items),
        ("links", links::check),
        ("alerts", alerts::check),
        ("sentences", sentences::check),
        ("type names", type_names::check),
        ("versions", versions::check),
    ];
    let mut count = 0;
    for (name, rule) in rules {
        for problem in rule()? {
            println!("tidy: {name}: {problem}");
            count += 1;
        }
    }
    if count > 0 {
        bail!("{count} broken rules");
    }
    println!("tidy: {} groups of rules hold", rules.len());
    Ok(())
}

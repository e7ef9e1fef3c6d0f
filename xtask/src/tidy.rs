//! `cargo xtask tidy`: rules of the house that no compiler checks. One file a group of rules.

mod edges;
mod graph;
mod lockfile;
mod manifests;
mod sentences;
mod sources;
mod text;

use anyhow::{Result, bail};

pub(crate) use self::sentences::Args;

/// One broken rule, as a line that says where and what.
type Problem = String;

/// Finds every place where the rules of a group are broken.
type Rule = fn() -> Result<Vec<Problem>>;

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.listed() {
        Some(paths) => sentences::list(&paths),
        None => check(),
    }
}

pub(crate) fn check() -> Result<()> {
    let rules: [(&str, Rule); 6] = [
        ("crate edges", graph::edges),
        ("pure crates", graph::purity),
        ("lock file", lockfile::check),
        ("manifests", manifests::check),
        ("sources", sources::check),
        ("sentences", sentences::check),
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

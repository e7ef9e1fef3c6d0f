//! Checks that the files of a crate do not import each other in a cycle.
//!
//! A file points to another one when its code names an item that is declared there. That is a `use` declaration, or a path
//! such as `crate::a::f(…)`, `super::T` or `child::f(…)`. Names are followed through re-exports to the file that declares them,
//! and a re-export itself is no arrow, nor is `mod child;`. So `lib.rs` may offer everything under short names.
//! A parent that calls its child, whose code uses the parent's types, is a cycle: the types belong in a sibling
//! below both. Tests are not read.

mod cycles;
mod paths;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use self::cycles::{Arrows, Cycle};
use self::paths::Named;
use super::problem::Problem;
use super::sources::is_test;
use super::text::{SourceText, tokens};
use crate::repository;

/// The place of a module: the names from its crate's root.
type ModulePath = Vec<String>;

/// One file of a crate.
#[derive(Debug, Default)]
struct Module {
    file: String,
    named: Vec<Named>,
    declared: BTreeSet<String>,
    /// The number of times that each name stands in the code, which distinguishes a re-export from a use.
    words: BTreeMap<String, usize>,
}

/// All files of a library or program.
#[derive(Debug, Default)]
struct Modules(BTreeMap<ModulePath, Module>);

/// Finds the cycles of all packages.
pub(super) fn check() -> Result<Vec<Problem>> {
    let found = all()?.into_iter();
    let of_package = |(package, cycles): (String, Vec<Cycle>)| {
        cycles.into_iter().map(move |cycle| format!("{package}: {cycle}"))
    };
    Ok(found.flat_map(of_package).collect())
}

/// The cycles of each package that has some.
fn all() -> Result<Vec<(String, Vec<Cycle>)>> {
    let mut found = Vec::new();
    for package in repository::packages()? {
        let name = package.file_name().unwrap_or_default();
        let mut cycles = Vec::new();
        for root in roots(&package) {
            cycles.extend(cycles::of(&Modules::read(&root)?.arrows()));
        }
        if !cycles.is_empty() {
            found.push((name.to_string_lossy().into_owned(), cycles));
        }
    }
    Ok(found)
}

/// The directories that hold the modules of a library or of a program.
fn roots(package: &Path) -> Vec<PathBuf> {
    let src = package.join("src");
    let mut found = vec![src.clone()];
    if let Ok(entries) = fs::read_dir(src.join("bin")) {
        let dirs = entries.filter_map(|entry| Some(entry.ok()?.path()));
        found.extend(dirs.filter(|path| path.is_dir()));
    }
    found.sort();
    found
}

impl Modules {
    fn read(root: &Path) -> Result<Self> {
        let mut modules = Self::default();
        if !root.is_dir() {
            return Ok(modules);
        }
        for file in repository::rust_files(root)? {
            let inside = file.strip_prefix(root).unwrap_or(&file);
            if is_test(inside)
                || inside.starts_with("bin")
                || inside == Path::new("main.rs") && root.ends_with("src")
            {
                continue;
            }
            let text =
                fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
            let shown = repository::shown(&file);
            modules.0.insert(place(inside), Module::of(shown, &text));
        }
        Ok(modules)
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (path, module) in &self.0 {
            for named in &module.named {
                let is_passed_on = named.is_reexport && {
                    let alias = named.alias.as_deref().unwrap_or_default();
                    module.words.get(alias).copied().unwrap_or(0) <= 1
                };
                let target = self.resolve(path, &named.segments, 0);
                if let Some(target) = target.filter(|target| *target != module.file && !is_passed_on) {
                    let lines = arrows.entry(module.file.clone()).or_default();
                    lines.entry(target).or_insert(named.line);
                }
            }
        }
        arrows
    }

    /// The file that declares what a path in the module `from` names; none outside this crate.
    fn resolve(&self, from: &[String], segments: &[String], depth: usize) -> Option<String> {
        let mut place = from.to_vec();
        let mut rest = segments;
        match rest.first()?.as_str() {
            "crate" => {
                place.clear();
                rest = rest.get(1..)?;
            }
            "self" => rest = rest.get(1..)?,
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    place.pop()?;
                    rest = rest.get(1..)?;
                }
            }
            // An edition 2018 path: a child, or an item in scope here, which is looked up through `use` anyway.
            first => {
                let child = [from, &[first.to_owned()]].concat();
                if !self.0.contains_key(&child) {
                    return None;
                }
            }
        }
        while let Some(next) = rest.first() {
            let child = [place.as_slice(), std::slice::from_ref(next)].concat();
            if !self.0.contains_key(&child) {
                return self.declaring(&place, next, depth);
            }
            place = child;
            rest = rest.get(1..)?;
        }
        self.0.get(&place).map(|module| module.file.clone())
    }

    /// The file that declares a name which a module offers.
    fn declaring(&self, place: &[String], name: &str, depth: usize) -> Option<String> {
        let module = self.0.get(place)?;
        if depth > 8 || module.declared.contains(name) || name == "*" {
            return Some(module.file.clone());
        }
        let mut uses = module.named.iter().filter(|named| named.alias.is_some());
        if let Some(passed) = uses.clone().find(|named| named.alias.as_deref() == Some(name)) {
            return self.resolve(place, &passed.segments, depth + 1);
        }
        let through_glob = uses.find_map(|named| {
            let (last, path) = named.segments.split_last()?;
            let path = [path, &[name.to_owned()]].concat();
            (last == "*")
                .then(|| self.resolve(place, &path, depth + 1))
                .flatten()
        });
        Some(through_glob.unwrap_or_else(|| module.file.clone()))
    }
}

impl Module {
    fn of(file: String, text: &str) -> Self {
        let code = SourceText::of(text).product_code();
        let tokens = tokens(&code);
        let mut words = BTreeMap::new();
        for token in &tokens {
            *words.entry(token.text.to_owned()).or_default() += 1;
        }
        Self {
            file,
            named: paths::named(&tokens),
            declared: paths::declared(&tokens).into_iter().map(str::to_owned).collect(),
            words,
        }
    }
}

/// The module that a file holds: `a/b.rs` is `a::b`; `lib.rs` and `main.rs` are the root.
fn place(file: &Path) -> ModulePath {
    let mut place: ModulePath = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if place
        .last()
        .is_some_and(|last| matches!(last.as_str(), "lib" | "main" | "mod"))
    {
        place.pop();
    }
    place
}

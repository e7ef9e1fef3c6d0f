//! The built-in presets and those of users' files as one catalog.
//!
//! A function of the files alone: the order in which they came or changed does not matter. A file with a
//! problem is left out whole; the others count.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, CatalogError};
use crate::derive;
use crate::document::{self, FileProblem, Position};
use crate::preset::Preset;
use crate::rules::Rules;
use crate::validate;

/// Problems of one file that are told; a file written by a broken program has thousands.
const MAX_PROBLEMS: usize = 20;
/// Characters of one that are told.
const MAX_MESSAGE: usize = 500;

/// What became of users' files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The built-in presets, less those that were replaced, and the presets of all good files.
    pub catalog: Catalog,
    /// One for each file, in name order.
    pub files: Vec<FileReport>,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Name of the file, without a directory.
    pub file: String,
    /// Short names of the presets it brought; empty when it has a problem.
    pub presets: Vec<String>,
    /// Why it was left out; empty when it counts.
    pub problems: Vec<FileProblem>,
}

impl Catalog {
    /// This catalog and the presets of users' files, given as name and text.
    ///
    /// Where two files want the same name, the file that comes first in name order has it.
    ///
    /// # Errors
    /// When the rules that are part of the program are broken; never because of a file.
    pub fn overlay<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Overlay, CatalogError> {
        let rules = Rules::embedded().map_err(|message| CatalogError::Malformed {
            document: "rules",
            message: message.to_owned(),
        })?;
        let sorted: BTreeMap<&str, &str> = files.into_iter().collect();
        let mut merge = Merge::new(self);
        let mut texts = Vec::new();
        let mut reports = Vec::new();
        for (file, text) in sorted {
            let report = match read(text, rules).and_then(|brought| merge.take(file, brought)) {
                Ok(presets) => {
                    texts.push(text);
                    FileReport {
                        file: file.to_owned(),
                        presets,
                        problems: Vec::new(),
                    }
                }
                Err(problems) => FileReport {
                    file: file.to_owned(),
                    presets: Vec::new(),
                    problems: shortened(problems),
                },
            };
            reports.push(report);
        }
        Ok(Overlay {
            catalog: self.with_users(&merge.replaced, merge.presets, &texts),
            files: reports,
        })
    }
}

/// What a person would read of it.
fn shortened(mut problems: Vec<FileProblem>) -> Vec<FileProblem> {
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    for problem in &mut problems {
        if let Some((end, _)) = problem.message.char_indices().nth(MAX_MESSAGE) {
            problem.message.truncate(end);
            problem.message.push('…');
        }
    }
    if more > 0 {
        problems.push(FileProblem {
            position: None,
            message: format!("and {more} more"),
        });
    }
    problems
}

/// A preset of a file.
struct Brought {
    preset: Preset,
    overrides: bool,
    position: Option<Position>,
}

impl Brought {
    fn problem(&self, what: &impl std::fmt::Display) -> FileProblem {
        FileProblem {
            position: self.position,
            message: format!("preset `{}`: {what}", self.preset.name),
        }
    }
}

/// The presets of one file, each sound in itself.
fn read(text: &str, rules: &Rules) -> Result<Vec<Brought>, Vec<FileProblem>> {
    let written = document::entries(text).map_err(|problem| vec![problem])?;
    let brought: Vec<_> = written
        .into_iter()
        .map(|written| Brought {
            overrides: written.entry.overrides,
            position: written.position,
            preset: derive::preset(written.entry, rules),
        })
        .collect();
    let problems: Vec<_> = brought
        .iter()
        .flat_map(|brought| {
            let problems = validate::own_problems(&brought.preset);
            problems.into_iter().map(|problem| brought.problem(&problem))
        })
        .collect();
    if problems.is_empty() {
        Ok(brought)
    } else {
        Err(problems)
    }
}

/// The files taken so far.
struct Merge<'a> {
    built_in: &'a Catalog,
    /// Short names of built-in presets that users replaced.
    replaced: BTreeSet<String>,
    presets: Vec<Preset>,
    /// Lower-case name to its file and preset.
    owners: BTreeMap<String, (String, String)>,
}

impl<'a> Merge<'a> {
    const fn new(built_in: &'a Catalog) -> Self {
        Self {
            built_in,
            replaced: BTreeSet::new(),
            presets: Vec::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Takes a file whole, or nothing of it. Returns the short names that it brought.
    fn take(&mut self, file: &str, brought: Vec<Brought>) -> Result<Vec<String>, Vec<FileProblem>> {
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        let mut replaced = BTreeSet::new();
        let mut problems = Vec::new();
        for one in &brought {
            for name in validate::names(&one.preset) {
                let earlier = self.owners.get(&name).map(|(file, owner)| (file.as_str(), owner));
                let taken = earlier.or_else(|| owners.get(&name).map(|owner| (file, owner)));
                if let Some((owner_file, owner)) = taken {
                    problems.push(one.problem(&format!(
                        "name `{name}` already belongs to `{owner}` of {owner_file}"
                    )));
                } else if let Some(owner) = self.built_in.find(&name).filter(|_| !one.overrides) {
                    problems.push(one.problem(&format!(
                        "name `{name}` belongs to the built-in preset `{}`; write `override: true` to replace it, or \
                         choose another name",
                        owner.name
                    )));
                } else {
                    replaced.extend(self.built_in.find(&name).map(|owner| owner.name.clone()));
                    owners.insert(name, one.preset.name.clone());
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let names = brought.iter().map(|one| one.preset.name.clone()).collect();
        let of_file = |(name, owner)| (name, (file.to_owned(), owner));
        self.owners.extend(owners.into_iter().map(of_file));
        self.replaced.extend(replaced);
        self.presets.extend(brought.into_iter().map(|one| one.preset));
        Ok(names)
    }
}

#[cfg(test)]
mod tests;

//! Catalog of the built-in presets and those of user files.
//!
//! The result depends only on the files, not on the order of their changes. A file with a problem is ignored as a
//! whole; the others are used.

use std::collections::{BTreeMap, BTreeSet};

use instance_types::{FileProblem, Position};

use crate::catalog::{Catalog, CatalogError};
use crate::derive;
use crate::document;
use crate::preset::Preset;
use crate::rules::Rules;
use crate::validate;

/// Most reported problems of a file; a generated file may have thousands.
const MAX_PROBLEMS: usize = 20;
/// Most characters of a reported problem.
const MAX_MESSAGE: usize = 500;

/// Result of loading user files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The built-in presets without the replaced ones, and the presets of all valid files.
    pub catalog: Catalog,
    /// One report per file, sorted by name.
    pub files: Vec<FileReport>,
}

/// Report on one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Name of the file, without a directory.
    pub file: String,
    /// Short names of its presets; empty if it has a problem.
    pub presets: Vec<String>,
    /// Problems; empty if the file is used.
    pub problems: Vec<FileProblem>,
}

impl Catalog {
    /// Adds the presets of user files, given as name and text.
    ///
    /// If two files have the same preset name, the file with the smaller name keeps it.
    ///
    /// # Errors
    /// Fails if the built-in rules are invalid; never because of a file.
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

/// Limits the number and length of problems for a reader.
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

/// Parses the presets of one file and validates each.
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

/// The files accepted so far.
struct Merge<'a> {
    built_in: &'a Catalog,
    /// Short names of replaced built-in presets.
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

    /// Accepts a file as a whole or rejects it. Returns the short names of its presets.
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

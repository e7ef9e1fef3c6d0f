//! Links between the pages of this repository: each names a file that exists, and a heading of it. Each page of `docs/` is
//! in the table of contents of the site.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

use super::problem::Problem;
use crate::repository;

/// Directories with pages, besides the root of the repository.
const DIRECTORIES: [&str; 3] = ["docs", "docs/decisions", "examples"];
/// Table of contents of the site, in the form that mdBook reads.
pub(crate) const CONTENTS: &str = "docs/SUMMARY.md";

pub(super) fn check() -> Result<Vec<Problem>> {
    let mut pages = BTreeMap::new();
    for directory in [""].iter().chain(&DIRECTORIES) {
        let at = repository::root().join(directory);
        for entry in fs::read_dir(&at).with_context(|| format!("failed to list {}", at.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("failed to read {}", path.display()))?;
                pages.insert(path.strip_prefix(repository::root())?.to_owned(), text);
            }
        }
    }
    let exists = |path: &Path| repository::root().join(path).exists();
    let mut found = broken(&pages, &exists);
    found.extend(unlisted(&pages));
    Ok(found)
}

/// Links to files or headings that do not exist.
fn broken(pages: &BTreeMap<PathBuf, String>, exists: &dyn Fn(&Path) -> bool) -> Vec<Problem> {
    let mut found = Vec::new();
    for (page, text) in pages {
        for link in links(text) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                page.clone()
            } else {
                resolved(page, path)
            };
            let problem = if !exists(&target) {
                Some("no such file")
            } else if heading.is_empty() {
                None
            } else {
                let there = pages.get(&target).map(|text| headings(text));
                there
                    .is_none_or(|headings| !headings.contains(heading))
                    .then_some("no such heading")
            };
            found.extend(problem.map(|problem| format!("{}: {link}: {problem}", page.display())));
        }
    }
    found
}

/// Pages of the documentation that the table of contents does not list.
fn unlisted(pages: &BTreeMap<PathBuf, String>) -> Vec<Problem> {
    let contents = Path::new(CONTENTS);
    let listed: BTreeSet<PathBuf> = pages
        .get(contents)
        .map(|text| links(text).map(|link| resolved(contents, link)).collect())
        .unwrap_or_default();
    let of_docs = pages
        .keys()
        .filter(|page| page.starts_with("docs") && *page != contents);
    of_docs
        .filter(|page| !listed.contains(*page))
        .map(|page| format!("{CONTENTS}: {} is not listed", page.display()))
        .collect()
}

/// Targets of the links to this repository, without code.
pub(crate) fn links(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    let prose = text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    });
    prose
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// The path of a link on a page, from the root of the repository.
pub(crate) fn resolved(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// Anchors of the headings of a page, as forges and mdBook make them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |title: &str| -> String {
        let kept = title
            .trim_start_matches('#')
            .trim()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter })
            .flat_map(char::to_lowercase)
            .collect()
    };
    titles.map(anchor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(texts: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
        texts
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn files_and_headings_of_links_must_exist() {
        let pages = pages(&[
            (
                "docs/a.md",
                "# A page\n[b](b.md#two-words), [gone](c.md), [x](../charts/v.yaml), [y](b.md#gone), [z](https://x.y/)\n\
                 ```\n[code](d.md)\n```\n[here](#a-page)\n",
            ),
            ("docs/b.md", "## Two words\n"),
        ]);
        let there = |path: &Path| pages.contains_key(path) || path == Path::new("charts/v.yaml");
        assert_eq!(
            broken(&pages, &there),
            [
                "docs/a.md: c.md: no such file",
                "docs/a.md: b.md#gone: no such heading"
            ]
        );
    }

    #[test]
    fn every_page_of_the_documentation_is_in_the_table_of_contents() {
        let pages = pages(&[
            ("docs/SUMMARY.md", "- [A](a.md)\n"),
            ("docs/a.md", ""),
            ("docs/decisions/b.md", ""),
            ("README.md", ""),
        ]);
        assert_eq!(
            unlisted(&pages),
            ["docs/SUMMARY.md: docs/decisions/b.md is not listed"]
        );
    }

    #[test]
    fn headings_become_anchors() {
        let text = "# `kubectl kaito` & more: 2 words\n";
        assert!(headings(text).contains("kubectl-kaito--more-2-words"));
    }
}

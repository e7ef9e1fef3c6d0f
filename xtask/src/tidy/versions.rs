//! One version: crates, chart, and the commands and manifests of the documentation name the same one. The changelog has a
//! section for it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::problem::Problem;
use crate::release::version::{VERSION, changelog, section};
use crate::repository;

const CHART: &str = "charts/kaito/Chart.yaml";
/// Words before our version in Chart.yaml, each of which must be there.
const OF_CHART: [&str; 2] = ["version: ", "appVersion: "];
/// Directories whose pages and manifests name our version.
const DIRECTORIES: [&str; 4] = ["", "docs", "examples", "examples/gitops"];
/// Words before our version there.
const OF_PAGES: [&str; 4] = ["--version ", "--tag ", "targetRevision: ", "tag: "];

pub(super) fn check() -> Result<Vec<Problem>> {
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()));
    let chart = read(&repository::root().join(CHART))?;
    let mut found = of_chart(&chart, VERSION);
    for path in pages()? {
        let text = read(&path)?;
        let others = others(&text, &OF_PAGES, VERSION);
        let shown = repository::shown(&path);
        found.extend(others.map(|other| format!("{shown}: {other}: the version is {VERSION}")));
    }
    if let Err(problem) = section(&changelog()?, VERSION) {
        found.push(problem.to_string());
    }
    Ok(found)
}

/// Pages and manifests of the documentation.
fn pages() -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for directory in DIRECTORIES {
        let at = repository::root().join(directory);
        for entry in fs::read_dir(&at).with_context(|| format!("failed to list {}", at.display()))? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "md" || extension == "yaml")
            {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Problems of Chart.yaml.
fn of_chart(chart: &str, version: &str) -> Vec<Problem> {
    let value = |key: &str| {
        let line = chart.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().trim_matches('"'))
    };
    let differs = OF_CHART.iter().filter(|key| value(key) != Some(version));
    differs
        .map(|key| {
            let value = value(key).unwrap_or_default();
            format!("{CHART}: {key}{value}: the version of the crates is {version}")
        })
        .collect()
}

/// Versions after these words that are not ours, with the word.
fn others<'a>(text: &'a str, words: &'a [&str], version: &'a str) -> impl Iterator<Item = String> {
    let named = text.lines().flat_map(move |line| {
        let after = words
            .iter()
            .filter_map(move |word| Some((word, line.split_once(word)?.1)));
        after.map(|(word, rest)| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'));
            (word, rest[..end.unwrap_or(rest.len())].trim_start_matches('v'))
        })
    });
    let others = named.filter(move |(_, named)| is_version(named) && *named != version);
    others.map(|(word, named)| format!("{word}{named}"))
}

fn is_version(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    parts.len() >= 3 && parts.iter().take(2).all(|part| part.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_the_version_of_the_crates() {
        let chart = "apiVersion: v2\nversion: 0.1.0\nappVersion: \"0.1.0\"\n";
        assert_eq!(of_chart(chart, "0.1.0"), Vec::<Problem>::new());
        assert_eq!(
            of_chart(chart, "0.2.0"),
            [
                "charts/kaito/Chart.yaml: version: 0.1.0: the version of the crates is 0.2.0",
                "charts/kaito/Chart.yaml: appVersion: 0.1.0: the version of the crates is 0.2.0"
            ]
        );
        assert_eq!(of_chart("name: kaito\n", "0.1.0").len(), 2);
    }

    #[test]
    fn other_versions_of_pages_are_seen() {
        let page = "helm install … --version 0.1.0 --namespace x\n    tag: v0.0.9\n`cargo xtask image --tag 0.2.0`, then\n\
                    --tag latest, --version $VERSION, targetRevision: main, tag: 1\n";
        let found: Vec<_> = others(page, &OF_PAGES, "0.1.0").collect();
        assert_eq!(found, ["tag: 0.0.9", "--tag 0.2.0"]);
    }
}

//! `cargo xtask site`: the documentation as a site, made by mdBook from `docs/`.
//!
//! Links that leave `docs/` lead to the repository, as the site has no such pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::repository;
use crate::tidy::links;

const TOOL: &str = "mdbook";
const VERSION: &str = "0.5.4";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// URL of the repository's files at the version that the site describes; this checkout, if it is absent
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let sources = repository::target().join("site-sources");
    let site = repository::target().join("site");
    if sources.exists() {
        fs::remove_dir_all(&sources).with_context(|| format!("failed to remove {}", sources.display()))?;
    }
    let here = || format!("file://{}", repository::root().display());
    let url = args.repository.clone().unwrap_or_else(here);
    copy(Path::new("docs"), &sources.join("src"), &url)?;
    fs::write(sources.join("book.toml"), book()?).context("failed to write book.toml")?;
    let status = Command::new(repository::installed(TOOL, VERSION)?)
        .arg("build")
        .arg(&sources)
        .arg("--dest-dir")
        .arg(&site)
        .status()
        .with_context(|| format!("failed to run {TOOL}"))?;
    ensure!(status.success(), "{TOOL} ended with {status}");
    println!("in {}: open index.html", repository::shown(&site));
    Ok(())
}

/// The settings of mdBook.
fn book() -> Result<String> {
    let mut book = toml::Table::new();
    let table = |pairs: &[(&str, toml::Value)]| -> toml::Value {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        toml::Value::Table(pairs.collect())
    };
    book.insert(
        "book".into(),
        table(&[("title", "KAITO".into()), ("language", "en".into())]),
    );
    let html = table(&[("no-section-label", true.into())]);
    book.insert("output".into(), table(&[("html", html)]));
    toml::to_string(&book).context("failed to write the settings of the site")
}

/// Copies a directory of pages and pictures, from its path in the repository.
fn copy(from: &Path, to: &Path, url: &str) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("failed to create {}", to.display()))?;
    let source = repository::root().join(from);
    for entry in fs::read_dir(&source).with_context(|| format!("failed to list {}", source.display()))? {
        let entry = entry?;
        let (path, target) = (from.join(entry.file_name()), to.join(entry.file_name()));
        if entry.path().is_dir() {
            copy(&path, &target, url)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("failed to read {}", path.display()))?;
            fs::write(&target, rewritten(&path, &text, url))
                .with_context(|| format!("failed to write {}", target.display()))?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("failed to copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// The page with links to files outside `docs/`, and to directories, that lead to the repository.
fn rewritten(page: &Path, text: &str, url: &str) -> String {
    let mut result = text.to_owned();
    for link in links::links(text) {
        let path = link.split('#').next().unwrap_or_default();
        let target = links::resolved(page, path);
        let is_page = target.starts_with("docs") && target.extension().is_some();
        if !path.is_empty() && !is_page {
            let rest = &link[path.len()..];
            let outside = format!("]({url}/{}{rest})", target.display());
            result = result.replace(&format!("]({link})"), &outside);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_leave_the_site_lead_to_the_repository() {
        let text = "[a](b.md#c), [x](../charts/v.yaml), [d](decisions), [e](https://x.y), ![p](pictures/p.svg), [h](#here)";
        assert_eq!(
            rewritten(Path::new("docs/a.md"), text, "https://forge/main"),
            "[a](b.md#c), [x](https://forge/main/charts/v.yaml), [d](https://forge/main/docs/decisions), [e](https://x.y), \
             ![p](pictures/p.svg), [h](#here)"
        );
    }
}

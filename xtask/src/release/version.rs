//! The one version of crates, chart and images, and its section of the changelog.

use anyhow::{Context as _, Result, ensure};

use crate::repository;

/// The version of the sources.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns what the changelog says about the version that is released.
///
/// # Errors
/// Fails if the changelog has no section for it, or one without a date or without entries.
pub(super) fn notes() -> Result<String> {
    let changelog = changelog()?;
    let notes = section(&changelog, VERSION)?;
    Ok(format!("{notes}\n"))
}

/// Reads the changelog.
pub(crate) fn changelog() -> Result<String> {
    let path = repository::root().join("CHANGELOG.md");
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}

/// Returns the section of a version, without its title.
pub(crate) fn section<'a>(changelog: &'a str, version: &str) -> Result<&'a str> {
    let title = format!("## [{version}] - ");
    let rest = changelog
        .split_once(&title)
        .with_context(|| format!("CHANGELOG.md must have a section \"{title}YYYY-MM-DD\""))?
        .1;
    let (date, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    ensure!(
        is_date(date),
        "CHANGELOG.md: {version} must have a date such as 2026-11-30, not {date:?}"
    );
    let section = rest.split("\n## ").next().unwrap_or_default().trim();
    ensure!(
        section.lines().any(|line| line.starts_with("- ")),
        "CHANGELOG.md: {version} must have entries"
    );
    Ok(section)
}

fn is_date(text: &str) -> bool {
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    lengths == [4, 2, 2] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n- Something new.\n\n## [0.2.0] - 2027-01-01\n\n### Added\n\n\
        - A thing.\n\n## [0.1.1] - soon\n\n- A thing.\n\n## [0.1.0] - 2026-11-30\n\nNothing.\n";

    #[test]
    fn a_version_needs_a_section_with_a_date_and_entries() {
        assert_eq!(section(CHANGELOG, "0.2.0").unwrap(), "### Added\n\n- A thing.");
        for (version, problem) in [
            ("0.2", "must have a section \"## [0.2] - YYYY-MM-DD\""),
            ("0.3.0", "must have a section"),
            ("0.1.1", "must have a date such as 2026-11-30, not \"soon\""),
            ("0.1.0", "must have entries"),
        ] {
            let said = section(CHANGELOG, version).unwrap_err().to_string();
            assert!(said.contains(problem), "{said}");
        }
    }
}

//! The one version of crates, chart and images.

use anyhow::{Context as _, Result, ensure};

use crate::repository;

/// The version of the sources.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the version that is released.
///
/// # Errors
/// Fails if the changelog has no section for it.
pub(super) fn checked() -> Result<String> {
    let path = repository::root().join("CHANGELOG.md");
    let changelog =
        std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    ensure!(
        describes(&changelog, VERSION),
        "CHANGELOG.md must have a section \"## {VERSION}\""
    );
    Ok(VERSION.to_owned())
}

fn describes(changelog: &str, version: &str) -> bool {
    changelog
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .any(|title| title.split_whitespace().next() == Some(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_needs_a_section_of_its_own() {
        let changelog = "# Changelog\n\n## Unreleased\n\n## 0.2.0 (2027-01-01)\n";
        assert!(describes(changelog, "0.2.0"));
        assert!(!describes(changelog, "0.2"));
        assert!(!describes(changelog, "0.3.0"));
    }
}

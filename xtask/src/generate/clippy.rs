//! `clippy.toml` of each pure crate: the lines of the root's file, and bans of clocks and of the environment.
//!
//! A crate's file replaces the root's, hence the copies.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::generated::Generated;
use crate::repository;
use crate::tidy::PURE;

const HEAD: &str =
    "# Written by `cargo xtask gen` from the root's clippy.toml, with the bans of a pure crate.\n";

/// The start of the list of banned methods in the root's file.
const LIST: &str = "disallowed-methods = [\n";

/// Banned in pure crates, with the reason. `jiff` is no dependency of some of them.
const BANS: &str = r#"    { path = "std::time::Instant::now", reason = "a pure crate takes the time as an argument" },
    { path = "std::time::SystemTime::now", reason = "a pure crate takes the time as an argument" },
    { path = "jiff::Timestamp::now", reason = "a pure crate takes the time as an argument", allow-invalid = true },
    { path = "jiff::Zoned::now", reason = "a pure crate takes the time as an argument", allow-invalid = true },
    { path = "std::env::var", reason = "a pure crate takes settings as arguments" },
    { path = "std::env::var_os", reason = "a pure crate takes settings as arguments" },
    { path = "std::env::vars", reason = "a pure crate takes settings as arguments" },
"#;

pub(super) fn files() -> Result<Vec<Generated>> {
    let path = repository::root().join("clippy.toml");
    let root = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let contents = with_bans(&root)?;
    let file = |name: &&str| Generated {
        path: Path::new("crates").join(name).join("clippy.toml"),
        contents: contents.clone(),
    };
    Ok(PURE.iter().map(file).collect())
}

fn with_bans(root: &str) -> Result<String> {
    let (before, after) = root
        .split_once(LIST)
        .context("clippy.toml has no list of banned methods")?;
    Ok(format!("{HEAD}{before}{LIST}{BANS}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_root_stay() {
        let root = format!("a = 1\n{LIST}    {{ path = \"x\" }},\n]\n");
        let text = with_bans(&root).unwrap();
        for line in root.lines().chain(BANS.lines()) {
            assert!(text.contains(line), "{line}");
        }
        assert!(with_bans("a = 1\n").is_err());
    }
}

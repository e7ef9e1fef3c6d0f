//! Checks every `Cargo.toml`: named as its directory, everything shared inherited from the workspace.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::problem::Problem;
use crate::repository;

const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

const DEPENDENCY_TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check() -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    for dir in repository::packages()? {
        let path = dir.join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let manifest: Table = text
            .parse()
            .with_context(|| format!("{} is unreadable", path.display()))?;
        let shown = repository::shown(&path);
        found.extend(
            problems(&dir, &manifest)
                .into_iter()
                .map(|problem| format!("{shown}: {problem}")),
        );
    }
    Ok(found)
}

fn problems(dir: &Path, manifest: &Table) -> Vec<Problem> {
    let mut found = Vec::new();
    let package = manifest.get("package");
    let field = |name: &str| package.and_then(|package| package.get(name));
    let dir_name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    if field("name").and_then(Value::as_str) != dir_name.as_deref() {
        found.push("the package is not named as its directory".to_owned());
    }
    if field("description")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        found.push("no description".to_owned());
    }
    let inherited = INHERITED
        .iter()
        .filter(|name| !field(name).is_some_and(is_inherited));
    found.extend(inherited.map(|name| format!("`{name}.workspace = true` is missing")));
    if !manifest.get("lints").is_some_and(is_inherited) {
        found.push("`[lints] workspace = true` is missing".to_owned());
    }
    found.extend(dependencies(manifest));
    found
}

fn dependencies(manifest: &Table) -> Vec<Problem> {
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let tables = targets
        .filter_map(|(_, target)| target.as_table())
        .chain([manifest]);
    let all = tables.flat_map(|table| {
        DEPENDENCY_TABLES
            .iter()
            .filter_map(|name| table.get(*name)?.as_table())
    });
    all.flatten()
        .filter(|(_, dependency)| !is_inherited(dependency))
        .map(|(name, _)| format!("the dependency {name} is not inherited from the workspace"))
        .collect()
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\ndescription = \"d\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        publish.workspace = true\n[lints]\nworkspace = true\n\
        [dependencies]\nserde.workspace = true\nkube = { workspace = true, features = [\"client\"] }\n";

    fn check(text: &str) -> Vec<Problem> {
        problems(Path::new("/crates/a"), &text.parse().unwrap())
    }

    #[test]
    fn a_manifest_of_the_house() {
        assert_eq!(check(GOOD), Vec::<Problem>::new());
    }

    #[test]
    fn each_rule_is_checked() {
        assert_eq!(check(&GOOD.replace("\"a\"", "\"b\"")).len(), 1);
        assert_eq!(
            check(&GOOD.replace("edition.workspace = true", "edition = \"2024\"")).len(),
            1
        );
        assert_eq!(check(&GOOD.replace("[lints]\nworkspace = true", "")).len(), 1);
        assert_eq!(
            check(&format!("{GOOD}[dev-dependencies]\nrand = \"1\"\n")).len(),
            1
        );
        assert_eq!(
            check(&format!(
                "{GOOD}[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n"
            ))
            .len(),
            1
        );
    }
}

//! Finds unused dependencies and unused public items. Both rules read words, not meanings.
//!
//! A dependency is used where its name stands in the code. A public item of a library is used where its name stands in
//! another package, or in its own tests or programs. The signature of another public item counts, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::problem::Problem;
use super::sources::is_test;
use super::text::{SourceText, SourceToken, tokens};
use crate::repository;

/// Dependencies that no word of the code shows, with the reason.
const HIDDEN: &[(&str, &str, &str)] = &[
    ("device-plugin", "prost", "generated code uses it"),
    ("device-plugin", "tonic-prost", "generated code uses it"),
    ("preset-registry-api", "prost", "generated code uses it"),
    ("preset-registry-api", "tonic-prost", "generated code uses it"),
];

/// Public items that stay although no other package names them, with the reason.
const KEPT: &[(&str, &str, &str)] = &[("kaito-api", "WorkspaceSpec", "`Workspace` is derived from it")];

/// The words of one package.
struct Package {
    name: String,
    manifest: Table,
    /// Words of the library outside tests.
    library: BTreeSet<String>,
    /// Words of programs outside tests.
    programs: BTreeSet<String>,
    /// Words of build script and tests.
    others: BTreeSet<String>,
    /// Public items of the library, with the place of each.
    public: BTreeMap<String, String>,
    /// Words of the signatures of public items.
    exposed: BTreeSet<String>,
}

/// Finds dependencies that a package lists and does not use, and those of the workspace that no package lists.
pub(super) fn dependencies() -> Result<Vec<Problem>> {
    let packages = packages()?;
    let mut found = Vec::new();
    let mut listed = BTreeSet::new();
    for package in &packages {
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for name in keys(&package.manifest, table) {
                listed.insert(name);
                let name_in_code = name.replace('-', "_");
                let is_used = |words: &BTreeSet<String>| words.contains(&name_in_code);
                let is_hidden = HIDDEN
                    .iter()
                    .any(|(of, hidden, _)| *of == package.name && *hidden == name);
                let in_product = is_used(&package.library) || is_used(&package.programs);
                let in_tests = table != "dependencies" && is_used(&package.others);
                if !in_product && !in_tests && !is_hidden {
                    let what = if is_used(&package.others) {
                        "is used by tests alone"
                    } else {
                        "is not used"
                    };
                    found.push(format!("{}: `{name}` of [{table}] {what}", package.name));
                }
            }
        }
    }
    let workspace = manifest(repository::root())?;
    let workspace = workspace
        .get("workspace")
        .and_then(Value::as_table)
        .context("no [workspace]")?;
    let unlisted = keys(workspace, "dependencies").filter(|name| !listed.contains(name));
    // A program is a package that no package depends on.
    let unlisted = unlisted.filter(|name| !packages.iter().any(|package| package.name == *name));
    found.extend(unlisted.map(|name| format!("`{name}` of [workspace.dependencies] is used by no package")));
    Ok(found)
}

/// Finds public items that only their own library uses.
pub(super) fn public_items() -> Result<Vec<Problem>> {
    let packages = packages()?;
    let mut found = Vec::new();
    for package in &packages {
        let others: Vec<&Package> = packages
            .iter()
            .filter(|other| other.name != package.name)
            .collect();
        let elsewhere = |name: &str| {
            let in_tests_or_programs = package.others.contains(name) || package.programs.contains(name);
            in_tests_or_programs || others.iter().any(|other| other.has(name))
        };
        for (name, place) in &package.public {
            let is_kept = KEPT
                .iter()
                .any(|(of, kept, _)| *of == package.name && kept == name);
            if !elsewhere(name) && !package.exposed.contains(name) && !is_kept {
                found.push(format!(
                    "{place}: `{name}` is public and used by no other package"
                ));
            }
        }
    }
    Ok(found)
}

/// The names of a table of dependencies, those for single targets among them.
fn keys<'a>(manifest: &'a Table, table: &'a str) -> impl Iterator<Item = &'a str> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let tables = targets
        .chain([manifest])
        .filter_map(move |from| from.get(table)?.as_table());
    tables.flat_map(Table::keys).map(String::as_str)
}

fn manifest(dir: &Path) -> Result<Table> {
    let path = dir.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    text.parse()
        .with_context(|| format!("failed to parse {}", path.display()))
}

fn packages() -> Result<Vec<Package>> {
    repository::packages()?
        .iter()
        .map(|dir| Package::read(dir))
        .collect()
}

impl Package {
    fn read(dir: &Path) -> Result<Self> {
        let mut package = Self {
            name: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            manifest: manifest(dir)?,
            library: BTreeSet::new(),
            programs: BTreeSet::new(),
            others: BTreeSet::new(),
            public: BTreeMap::new(),
            exposed: BTreeSet::new(),
        };
        for file in repository::rust_files(dir)? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
            package.add(
                file.strip_prefix(dir).unwrap_or(&file),
                &repository::shown(&file),
                &text,
            );
        }
        Ok(package)
    }

    fn has(&self, word: &str) -> bool {
        [&self.library, &self.programs, &self.others]
            .iter()
            .any(|words| words.contains(word))
    }

    fn add(&mut self, inside: &Path, shown: &str, text: &str) {
        let source = SourceText::of(text);
        if !inside.starts_with("src") || is_test(inside) {
            self.others.extend(words(&tokens(&source.code)));
            return;
        }
        let product = source.product_code();
        let inline_tests = source.code.get(product.len()..).unwrap_or_default();
        self.others.extend(words(&tokens(inline_tests)));
        let tokens = tokens(&product);
        if inside.starts_with("src/bin") || inside == Path::new("src/main.rs") {
            self.programs.extend(words(&tokens));
            return;
        }
        self.library.extend(words(&tokens));
        for (name, line) in public(&product) {
            self.public.insert(name, format!("{shown}:{line}"));
        }
        self.exposed.extend(exposed(&tokens));
    }
}

fn words(tokens: &[SourceToken<'_>]) -> impl Iterator<Item = String> {
    tokens.iter().map(|token| token.text.to_owned())
}

/// The public items at the outermost level, which rustfmt puts at the beginning of a line, with their lines.
fn public(code: &str) -> Vec<(String, usize)> {
    const QUALIFIERS: &[&str] = &["async", "unsafe", "const"];
    const KINDS: &[&str] = &["fn", "struct", "enum", "trait", "type", "static", "union"];
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let Some(declaration) = line.strip_prefix("pub ") else {
            continue;
        };
        let declaration = tokens(declaration);
        let words: Vec<&str> = declaration.iter().map(|token| token.text).collect();
        let name = match words.as_slice() {
            ["const", name, ":", ..] => name,
            [kind, name, ..] if KINDS.contains(kind) => name,
            [first, "fn", name, ..] | [first, _, "fn", name, ..] if QUALIFIERS.contains(first) => name,
            _ => continue,
        };
        found.push(((*name).to_owned(), index + 1));
    }
    found
}

/// The words of the signatures of public functions, and of the other public items, without their own names.
fn exposed(tokens: &[SourceToken<'_>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    for at in 0..tokens.len() {
        let is_public = text(at) == "pub" && text(at + 1) != "(" && !matches!(text(at + 1), "use" | "mod");
        let is_associated = text(at) == "type" && text(at.wrapping_sub(1)) != "pub";
        let is_implementation = text(at) == "impl";
        if !is_public && !is_associated && !is_implementation {
            continue;
        }
        let item = tokens.get(at + 1..).unwrap_or_default();
        let is_function = item.iter().take(4).any(|token| token.text == "fn");
        let mut depth = 0_usize;
        let own = item.iter().position(|token| {
            !matches!(
                token.text,
                "async" | "unsafe" | "const" | "fn" | "struct" | "enum" | "trait" | "type" | "static"
            )
        });
        for (index, token) in item.iter().enumerate() {
            match token.text {
                ";" if depth == 0 => break,
                "{" if is_function || is_implementation => break,
                "{" => depth += 1,
                "}" if depth <= 1 => break,
                "}" => depth -= 1,
                _ => {}
            }
            if Some(index) != own {
                found.insert(token.text.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_items_are_found_by_their_lines() {
        let code = "pub fn a() {}\npub const B: u8 = 1;\npub const fn c() {}\npub(crate) fn d() {}\nimpl X {\n    pub fn e() {}\n}\npub use f::G;\n";
        let names: Vec<String> = public(code).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "B", "c"]);
    }

    #[test]
    fn types_of_signatures_are_exposed() {
        let code = "pub fn a(b: B) -> C { D::new() }\npub struct E { pub f: F }\nstruct G;";
        let found = exposed(&tokens(code));
        let is_exposed = |name: &str| found.contains(name);
        assert!(["B", "C", "F"].into_iter().all(is_exposed));
        assert!(!["a", "D", "E", "G"].into_iter().any(is_exposed));
    }
}

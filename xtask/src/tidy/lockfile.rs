//! Checks `Cargo.lock`: one version of what must be one, and no second crypto provider.

use std::fs;

use anyhow::{Context as _, Result};

use super::problem::Problem;
use crate::repository;

/// Two versions of these give types that do not fit together, or two providers that panic at first use.
const SINGLE: &[&str] = &[
    "kube",
    "kube-client",
    "kube-core",
    "k8s-openapi",
    "schemars",
    "rustls",
    "ring",
];

/// All TLS here is rustls with ring.
const FORBIDDEN: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"];

pub(super) fn check() -> Result<Vec<Problem>> {
    let text =
        fs::read_to_string(repository::root().join("Cargo.lock")).context("failed to read Cargo.lock")?;
    problems(&text)
}

fn problems(text: &str) -> Result<Vec<Problem>> {
    let lock: toml::Table = text.parse().context("Cargo.lock is unreadable")?;
    let packages = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .context("Cargo.lock has no packages")?;
    let versions = |name: &str| -> Vec<&str> {
        let named = packages
            .iter()
            .filter(|package| package.get("name").and_then(toml::Value::as_str) == Some(name));
        named
            .filter_map(|package| package.get("version").and_then(toml::Value::as_str))
            .collect()
    };
    let doubled = SINGLE.iter().filter(|name| versions(name).len() > 1);
    let doubled = doubled.map(|name| format!("{name} is there as {}", versions(name).join(" and ")));
    let forbidden = FORBIDDEN.iter().filter(|name| !versions(name).is_empty());
    let forbidden =
        forbidden.map(|name| format!("{name} must not be there; see `cargo tree --invert {name}`"));
    Ok(doubled.chain(forbidden).collect())
}

#[cfg(test)]
mod tests {
    use super::problems;

    #[test]
    fn doubles_and_forbidden_packages_are_seen() {
        let package =
            |name: &str, version: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        let good = package("kube", "5.0.0") + &package("syn", "2.0.0") + &package("syn", "3.0.0");
        assert!(problems(&good).unwrap().is_empty());
        let bad = good + &package("kube", "4.2.0") + &package("openssl", "0.10.0");
        let found = problems(&bad).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], "kube is there as 5.0.0 and 4.2.0");
    }
}

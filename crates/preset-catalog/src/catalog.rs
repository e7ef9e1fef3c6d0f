//! The presets, indexed by every name that leads to them.
//!
//! Read from text that is given or compiled in; a catalog with any violation is refused whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::OnceLock;

use instance_types::did_you_mean;
use sha2::{Digest as _, Sha256};

use crate::derive;
use crate::entry::Entry;
use crate::preset::Preset;
use crate::rules::Rules;
use crate::validate::{self, Violation};

const PRESETS: &str = include_str!("../data/presets.yaml");
pub(crate) const VLLM_RULES: &str = include_str!("../data/vllm_rules.yaml");

/// At most this many names are suggested for one that is unknown.
const SUGGESTIONS: usize = 3;

/// Bytes of the digest that make the version: enough to tell catalogs apart, short enough to read.
const VERSION_BYTES: usize = 6;

/// A catalog that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Not YAML of the expected form.
    #[error("{document}: {message}")]
    Malformed {
        /// `presets` or `rules`.
        document: &'static str,
        /// What the parser says, with the position.
        message: String,
    },
    /// Presets break the rules of the catalog; all of them are listed.
    #[error("{}", list(.0))]
    Invalid(Vec<Violation>),
}

fn list(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(Violation::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Every preset, found by short name, alias or hub id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    version: String,
    /// By short name.
    presets: BTreeMap<String, Preset>,
    /// Lower-case name of any kind to short name.
    index: BTreeMap<String, String>,
    /// Short names of the presets that users brought.
    users: BTreeSet<String>,
}

impl Catalog {
    /// The catalog that is part of the program; parsed at the first call.
    ///
    /// # Errors
    /// When the files under `data/` are wrong, which the tests of this crate exclude.
    pub fn embedded() -> Result<&'static Self, &'static CatalogError> {
        static CATALOG: OnceLock<Result<Catalog, CatalogError>> = OnceLock::new();
        CATALOG
            .get_or_init(|| Self::from_yaml(PRESETS, VLLM_RULES))
            .as_ref()
    }

    /// A catalog of other presets with the rules that are part of the program.
    ///
    /// # Errors
    /// When the text has not the form of `data/presets.yaml`, or a preset breaks a rule.
    pub fn from_presets_yaml(presets: &str) -> Result<Self, CatalogError> {
        Self::from_yaml(presets, VLLM_RULES)
    }

    fn from_yaml(presets: &str, rules: &str) -> Result<Self, CatalogError> {
        let malformed = |document| {
            move |error: serde_saphyr::Error| CatalogError::Malformed {
                document,
                message: error.to_string(),
            }
        };
        let entries: Vec<Entry> = serde_saphyr::from_str(presets).map_err(malformed("presets"))?;
        let parsed: Rules = serde_saphyr::from_str(rules).map_err(malformed("rules"))?;
        let derived = entries
            .into_iter()
            .map(|entry| derive::preset(entry, &parsed))
            .collect();
        Self::from_presets(derived, digest([presets, rules]))
    }

    /// A catalog of presets that are known already, such as those that a registry lists, under its version.
    ///
    /// # Errors
    /// When a preset breaks a rule, or a name leads to two.
    pub fn from_presets(presets: Vec<Preset>, version: String) -> Result<Self, CatalogError> {
        let violations = validate::violations(&presets);
        if !violations.is_empty() {
            return Err(CatalogError::Invalid(violations));
        }
        Ok(Self::indexed(presets, version))
    }

    fn indexed(presets: Vec<Preset>, version: String) -> Self {
        let index = presets
            .iter()
            .flat_map(|preset| validate::names(preset).map(|name| (name, preset.name.clone())))
            .collect();
        let presets = presets
            .into_iter()
            .map(|preset| (preset.name.clone(), preset))
            .collect();
        Self {
            version,
            presets,
            index,
            users: BTreeSet::new(),
        }
    }

    /// The same presets and `brought` by users, without the built-in ones named in `replaced`; the version is a
    /// digest of this one's and of `texts`. No name may lead to two presets.
    pub(crate) fn with_users(
        &self,
        replaced: &BTreeSet<String>,
        brought: Vec<Preset>,
        texts: &[&str],
    ) -> Self {
        let users = brought.iter().map(|preset| preset.name.clone()).collect();
        let kept = self
            .presets
            .values()
            .filter(|preset| !replaced.contains(&preset.name));
        let presets: Vec<Preset> = kept.cloned().chain(brought).collect();
        let version = if texts.is_empty() {
            self.version.clone()
        } else {
            digest(std::iter::once(self.version.as_str()).chain(texts.iter().copied()))
        };
        Self {
            users,
            ..Self::indexed(presets, version)
        }
    }

    /// Whether a user brought the preset with this short name.
    #[must_use]
    pub fn is_users(&self, short_name: &str) -> bool {
        self.users.contains(short_name)
    }

    /// Identifies the data: equal versions give equal answers. Twelve hex digits.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The preset with that short name, alias or hub id; letter case is ignored.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Preset> {
        self.presets.get(self.index.get(&name.to_lowercase())?)
    }

    /// Up to three short names that an unknown name may have meant, best first; deprecated presets are left out.
    #[must_use]
    pub fn near(&self, name: &str) -> Vec<&str> {
        let mut short_names: Vec<&str> = Vec::new();
        for candidate in did_you_mean::nearest(name, self.index.keys().map(String::as_str), usize::MAX) {
            let preset = self.find(candidate).filter(|preset| preset.deprecated.is_none());
            let short_name = preset.map(|preset| preset.name.as_str());
            short_names.extend(short_name.filter(|short_name| !short_names.contains(short_name)));
        }
        short_names.truncate(SUGGESTIONS);
        short_names
    }

    /// All presets in the order of their short names.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.presets.values()
    }

    /// How many presets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.presets.len()
    }

    /// There is no preset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.presets.is_empty()
    }
}

/// Twelve hex digits over the texts and where one ends.
fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    // The separator cannot occur in YAML, so moving words from one text to the next changes the digest.
    let digest = texts
        .into_iter()
        .fold(Sha256::new(), |digest, text| {
            digest.chain_update(text).chain_update([0])
        })
        .finalize();
    digest
        .iter()
        .take(VERSION_BYTES)
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests;

//! The catalog: presets, indexed by all their names.
//!
//! Reads only compiled-in or given text. A catalog with a violation is rejected as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::OnceLock;

use instance_types::did_you_mean;
use sha2::{Digest as _, Sha256};

use crate::derive;
use crate::entry::Entry;
use crate::preset::Preset;
use crate::rules::{Rules, VLLM_RULES};
use crate::validate::{self, PresetViolation};

const PRESETS: &str = include_str!("../data/presets.yaml");

/// Bytes of the digest in a version: enough to distinguish catalogs, and short.
const VERSION_BYTES: usize = 6;

/// Error for an invalid catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The text is not valid YAML of the expected form.
    #[error("{document}: {message}")]
    Malformed {
        /// Document: `presets` or `rules`.
        document: &'static str,
        /// Message of the parser, with the position.
        message: String,
    },
    /// Presets violate the rules of the catalog; all violations are listed.
    #[error("{}", list(.0))]
    Invalid(Vec<PresetViolation>),
}

fn list(violations: &[PresetViolation]) -> String {
    violations
        .iter()
        .map(PresetViolation::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// All presets, found by short name, alias or hub id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    version: String,
    /// Presets by short name.
    presets: BTreeMap<String, Preset>,
    /// Short name by any lower-case name.
    index: BTreeMap<String, String>,
    /// Short names of user presets.
    users: BTreeSet<String>,
}

impl Catalog {
    /// Returns the built-in catalog, parsed at the first call.
    ///
    /// # Errors
    /// Fails if the files under `data/` are invalid, which the tests of this crate exclude.
    pub fn embedded() -> Result<&'static Self, &'static CatalogError> {
        static CATALOG: OnceLock<Result<Catalog, CatalogError>> = OnceLock::new();
        CATALOG
            .get_or_init(|| Self::from_yaml(PRESETS, VLLM_RULES))
            .as_ref()
    }

    /// Parses a catalog of other presets, with the built-in rules.
    ///
    /// # Errors
    /// Fails if the text does not have the format of `data/presets.yaml`, or a preset violates a rule.
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

    /// Builds a catalog of given presets with a given version, such as a registry's.
    ///
    /// # Errors
    /// Fails if a preset violates a rule, or two presets have the same name.
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

    /// Adds the user presets `brought` and removes the built-in ones in `replaced`. The version is a digest of this
    /// catalog's version and of `texts`. Names must be unique.
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

    /// Returns true if the preset with this short name is a user preset.
    #[must_use]
    pub fn is_users(&self, short_name: &str) -> bool {
        self.users.contains(short_name)
    }

    /// Returns the version, twelve hex digits. Equal versions mean equal data.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the preset with this short name, alias or hub id; letter case is ignored.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Preset> {
        self.presets.get(self.index.get(&name.to_lowercase())?)
    }

    /// Suggests up to three short names for an unknown name or hub id, best first, without deprecated presets.
    #[must_use]
    pub fn near(&self, name: &str) -> Vec<&str> {
        let usable = self.iter().filter(|preset| preset.deprecated.is_none());
        // Owners of a hub say nothing about the model.
        let model = name.rsplit('/').next().unwrap_or(name);
        did_you_mean::nearest(model, usable.map(|preset| preset.name.as_str()))
    }

    /// Returns all presets, sorted by short name.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.presets.values()
    }

    /// Returns the number of presets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.presets.len()
    }

    /// Returns true if the catalog has no presets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.presets.is_empty()
    }
}

/// Digest of the texts and their boundaries, as twelve hex digits.
fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    // The separator cannot occur in YAML, so text that moves from one document to the next changes the digest.
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
            // Writes to a String never fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests;

//! One state of the registry's catalog: a value to which the messages of its watch are applied. It does no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use preset_catalog::Preset;
use preset_registry_api::v1::watch_presets_response::Event;
use preset_registry_api::v1::{self, WatchPresetsResponse};

/// Most presets of a registry; further ones are looked up one by one.
const MAX_PRESETS: usize = 10_000;

/// Presets by short name.
type Presets = BTreeMap<String, Arc<Preset>>;

/// The catalog as of the last message.
#[derive(Clone, Debug, Default)]
pub(crate) struct CatalogSnapshot {
    presets: Presets,
    /// Short names by short name, alias and hub id, all in lower case.
    names: BTreeMap<String, String>,
    /// Presets of a snapshot that is not complete yet.
    incomplete: Option<Presets>,
    version: String,
}

impl CatalogSnapshot {
    /// Returns the version; empty before the first message.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Finds the preset with this short name, alias or hub id; letter case is ignored.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Preset>> {
        self.presets.get(self.names.get(&name.to_lowercase())?)
    }

    /// Applies one message. Returns true if the catalog is complete and up to date afterwards.
    ///
    /// A preset that cannot be read or breaks a rule is left out, so that it does not take the others with it.
    pub(crate) fn apply(&mut self, message: WatchPresetsResponse) -> bool {
        match message.event {
            Some(Event::Snapshot(chunk)) => {
                let mut incomplete = if chunk.first {
                    Presets::new()
                } else {
                    self.incomplete.take().unwrap_or_default()
                };
                put(&mut incomplete, chunk.presets);
                if !chunk.last {
                    self.incomplete = Some(incomplete);
                    return false;
                }
                self.presets = incomplete;
            }
            Some(Event::Delta(delta)) => {
                for name in &delta.removed {
                    self.presets.remove(name);
                }
                put(&mut self.presets, delta.added);
                put(&mut self.presets, delta.changed);
            }
            None => return false,
        }
        self.incomplete = None;
        self.version = message.catalog_version;
        self.names = names(&self.presets);
        true
    }
}

fn put(presets: &mut Presets, added: Vec<v1::Preset>) {
    for message in added.into_iter().take(MAX_PRESETS.saturating_sub(presets.len())) {
        let name = message.name.clone();
        match Preset::try_from(message) {
            Ok(preset) => {
                presets.insert(name, Arc::new(preset));
            }
            Err(error) => {
                tracing::warn!(%error, "leaving out a preset of the registry");
                presets.remove(&name);
            }
        }
    }
}

fn names(presets: &Presets) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for preset in presets.values() {
        for name in preset.aliases.iter().chain([&preset.hub_id]) {
            names.insert(name.to_lowercase(), preset.name.clone());
        }
    }
    // A short name wins over an alias of another preset.
    names.extend(presets.keys().map(|name| (name.to_lowercase(), name.clone())));
    names
}

#[cfg(test)]
mod tests {
    use preset_registry_api::v1::{CatalogDelta, SnapshotChunk};

    use super::*;

    fn preset(name: &str) -> v1::Preset {
        let catalog = preset_catalog::Catalog::embedded().unwrap();
        v1::Preset::from(catalog.find(name).unwrap())
    }

    fn snapshot(presets: &[&str], first: bool, last: bool) -> WatchPresetsResponse {
        let presets = presets.iter().map(|name| preset(name)).collect();
        message("v1", Event::Snapshot(SnapshotChunk { presets, first, last }))
    }

    fn message(version: &str, event: Event) -> WatchPresetsResponse {
        WatchPresetsResponse {
            catalog_version: version.to_owned(),
            event: Some(event),
        }
    }

    #[test]
    fn a_snapshot_counts_once_it_is_complete_and_deltas_change_it() {
        let mut catalog = CatalogSnapshot::default();
        assert!(!catalog.apply(snapshot(&["phi-4"], true, false)));
        assert!(
            catalog.find("phi-4").is_none(),
            "an incomplete catalog is not used"
        );
        assert!(catalog.apply(snapshot(&["falcon-7b"], false, true)));
        assert_eq!(catalog.version(), "v1");
        for name in ["phi-4", "PHI-4", "microsoft/phi-4", "Falcon-7B"] {
            assert!(catalog.find(name).is_some(), "{name}");
        }
        let delta = CatalogDelta {
            added: vec![preset("smollm2-135m-instruct")],
            changed: vec![],
            removed: vec!["phi-4".to_owned()],
        };
        assert!(catalog.apply(message("v2", Event::Delta(delta))));
        assert!(catalog.find("microsoft/phi-4").is_none() && catalog.find("smollm2-135m-instruct").is_some());
        // A new snapshot replaces an incomplete one.
        assert!(!catalog.apply(snapshot(&["phi-4"], true, false)));
        assert!(catalog.apply(snapshot(&["falcon-40b"], true, true)));
        assert!(catalog.find("phi-4").is_none() && catalog.find("falcon-40b").is_some());
    }
}

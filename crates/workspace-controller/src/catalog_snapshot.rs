//! One state of the registry's catalog: a value to which the messages of its watch are applied. It does no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use preset_catalog::Preset;
use preset_registry_api::ConversionError;
use preset_registry_api::v1::watch_presets_response::Event;
use preset_registry_api::v1::{self, WatchPresetsResponse};

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
    /// # Errors
    /// When a preset cannot be read: the registry uses a later format.
    pub(crate) fn apply(&mut self, message: WatchPresetsResponse) -> Result<bool, ConversionError> {
        match message.event {
            Some(Event::Snapshot(chunk)) => {
                let mut incomplete = if chunk.first {
                    Presets::new()
                } else {
                    self.incomplete.take().unwrap_or_default()
                };
                put(&mut incomplete, chunk.presets)?;
                if !chunk.last {
                    self.incomplete = Some(incomplete);
                    return Ok(false);
                }
                self.presets = incomplete;
            }
            Some(Event::Delta(delta)) => {
                for name in &delta.removed {
                    self.presets.remove(name);
                }
                put(&mut self.presets, delta.added)?;
                put(&mut self.presets, delta.changed)?;
            }
            None => return Ok(false),
        }
        self.incomplete = None;
        self.version = message.catalog_version;
        self.names = names(&self.presets);
        Ok(true)
    }
}

fn put(presets: &mut Presets, added: Vec<v1::Preset>) -> Result<(), ConversionError> {
    for preset in added {
        let preset = Preset::try_from(preset)?;
        presets.insert(preset.name.clone(), Arc::new(preset));
    }
    Ok(())
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
        assert!(!catalog.apply(snapshot(&["phi-4"], true, false)).unwrap());
        assert!(
            catalog.find("phi-4").is_none(),
            "an incomplete catalog is not used"
        );
        assert!(catalog.apply(snapshot(&["falcon-7b"], false, true)).unwrap());
        assert_eq!(catalog.version(), "v1");
        for name in ["phi-4", "PHI-4", "microsoft/phi-4", "Falcon-7B"] {
            assert!(catalog.find(name).is_some(), "{name}");
        }
        let delta = CatalogDelta {
            added: vec![preset("smollm2-135m-instruct")],
            changed: vec![],
            removed: vec!["phi-4".to_owned()],
        };
        assert!(catalog.apply(message("v2", Event::Delta(delta))).unwrap());
        assert!(catalog.find("microsoft/phi-4").is_none() && catalog.find("smollm2-135m-instruct").is_some());
        // A new snapshot replaces an incomplete one.
        assert!(!catalog.apply(snapshot(&["phi-4"], true, false)).unwrap());
        assert!(catalog.apply(snapshot(&["falcon-40b"], true, true)).unwrap());
        assert!(catalog.find("phi-4").is_none() && catalog.find("falcon-40b").is_some());
    }
}

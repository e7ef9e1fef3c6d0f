//! The registry's catalog as its watch tells it: a value that events are applied to. Asks nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use preset_catalog::Preset;
use preset_registry_api::ConversionError;
use preset_registry_api::v1::watch_presets_response::Event;
use preset_registry_api::v1::{self, WatchPresetsResponse};

/// Presets by short name.
type Presets = BTreeMap<String, Arc<Preset>>;

/// What the registry knows, as far as it told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    presets: Presets,
    /// Short names by everything a preset is found by, in lower case.
    names: BTreeMap<String, String>,
    /// A snapshot whose end has not come yet.
    arriving: Option<Presets>,
    version: String,
}

impl Catalog {
    /// The version that was told last; empty before the first.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The preset with that short name, alias or hub id; letter case is ignored.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Preset>> {
        self.presets.get(self.names.get(&name.to_lowercase())?)
    }

    /// Takes one event; true when the catalog is whole and up to date afterwards.
    ///
    /// # Errors
    /// When a preset cannot be read: the registry speaks a later dialect.
    pub(crate) fn apply(&mut self, told: WatchPresetsResponse) -> Result<bool, ConversionError> {
        match told.event {
            Some(Event::Snapshot(chunk)) => {
                let mut arriving = if chunk.first {
                    Presets::new()
                } else {
                    self.arriving.take().unwrap_or_default()
                };
                put(&mut arriving, chunk.presets)?;
                if !chunk.last {
                    self.arriving = Some(arriving);
                    return Ok(false);
                }
                self.presets = arriving;
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
        self.arriving = None;
        self.version = told.catalog_version;
        self.names = names(&self.presets);
        Ok(true)
    }
}

fn put(presets: &mut Presets, told: Vec<v1::Preset>) -> Result<(), ConversionError> {
    for preset in told {
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
    // A short name is nobody else's alias.
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
        told("v1", Event::Snapshot(SnapshotChunk { presets, first, last }))
    }

    fn told(version: &str, event: Event) -> WatchPresetsResponse {
        WatchPresetsResponse {
            catalog_version: version.to_owned(),
            event: Some(event),
        }
    }

    #[test]
    fn a_snapshot_counts_when_it_is_whole_and_deltas_change_it() {
        let mut catalog = Catalog::default();
        assert!(!catalog.apply(snapshot(&["phi-4"], true, false)).unwrap());
        assert!(catalog.find("phi-4").is_none(), "half a catalog is none");
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
        assert!(catalog.apply(told("v2", Event::Delta(delta))).unwrap());
        assert!(catalog.find("microsoft/phi-4").is_none() && catalog.find("smollm2-135m-instruct").is_some());
        // A new snapshot makes an unfinished one void.
        assert!(!catalog.apply(snapshot(&["phi-4"], true, false)).unwrap());
        assert!(catalog.apply(snapshot(&["falcon-40b"], true, true)).unwrap());
        assert!(catalog.find("phi-4").is_none() && catalog.find("falcon-40b").is_some());
    }
}

//! The preset registry, as a client of it sees it: up or down, and the last good answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use preset_catalog::{Catalog, Preset};
use workspace_plan::PresetLookup;

/// The registry.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// It does not answer.
    pub down: bool,
}

/// What a client remembers of the registry's answers.
#[derive(Clone, Debug, Default)]
pub struct Presets(BTreeMap<String, Arc<Preset>>);

impl Presets {
    /// Asks the registry for a preset; an empty name asks for none.
    pub fn lookup(&mut self, registry: &Registry, name: &str) -> PresetLookup {
        if name.is_empty() {
            return PresetLookup::NotNeeded;
        }
        let catalog = Catalog::embedded();
        match (registry.down, catalog) {
            (false, Ok(catalog)) => match catalog.find(name) {
                Some(preset) => self.found(name, preset),
                None => PresetLookup::Unknown {
                    near: catalog.near(name).iter().map(|n| (*n).to_owned()).collect(),
                },
            },
            _ => PresetLookup::Unavailable {
                message: "connection refused".to_owned(),
                last_good: self.0.get(name).cloned(),
            },
        }
    }

    fn found(&mut self, name: &str, preset: &Preset) -> PresetLookup {
        let preset = Arc::clone(
            self.0
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(preset.clone())),
        );
        PresetLookup::Found(preset)
    }
}

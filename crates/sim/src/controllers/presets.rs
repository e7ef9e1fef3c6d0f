//! The preset registry and a client of it, which remembers answers by the product's [`PresetMemory`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use preset_catalog::Catalog;
use workspace_plan::{PresetAnswer, PresetLookup, PresetMemory};

/// The registry.
#[derive(Clone, Debug, Default)]
pub struct SimRegistry {
    /// Set while it does not answer.
    pub down: bool,
}

impl SimRegistry {
    fn answer(&self, name: &str) -> PresetAnswer {
        match Catalog::embedded() {
            Ok(catalog) if !self.down => match catalog.find(name) {
                Some(preset) => PresetAnswer::Found(Arc::new(preset.clone())),
                None => PresetAnswer::Unknown {
                    near: catalog.near(name).iter().map(|n| (*n).to_owned()).collect(),
                },
            },
            _ => PresetAnswer::Failed {
                message: "connection refused".to_owned(),
            },
        }
    }
}

/// A client of the registry: the catalog that it follows, and the answers to its calls.
#[derive(Clone, Debug, Default)]
pub struct Presets {
    /// The catalog as it was received last.
    followed: Option<&'static Catalog>,
    /// Answers to calls, by preset.
    memory: BTreeMap<String, PresetMemory>,
}

impl Presets {
    /// Looks a preset up in the followed catalog, else asks the registry if the last answer is old.
    pub fn lookup(&mut self, registry: &SimRegistry, name: Option<&str>, now: Timestamp) -> PresetLookup {
        let Some(name) = name else {
            return PresetLookup::NotNeeded;
        };
        if !registry.down && self.followed.is_none() {
            self.followed = Catalog::embedded().ok();
        }
        let last = || {
            let preset = self.followed.as_ref()?.find(name)?;
            Some(Arc::new(preset.clone()))
        };
        if !registry.down
            && let Some(preset) = last()
        {
            return PresetLookup::Found(preset);
        }
        let elapsed = Duration::from_millis(u64::try_from(now.as_millisecond()).unwrap_or_default());
        let memory = self.memory.entry(name.to_owned()).or_default();
        match memory.fresh(elapsed) {
            Some(lookup) => lookup.clone(),
            None => memory.record(registry.answer(name), last, elapsed),
        }
    }
}

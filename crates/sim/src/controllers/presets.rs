//! The preset registry and a client of it, which remembers answers by the product's [`PresetMemory`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use preset_catalog::{Catalog, Preset};
use workspace_plan::{PresetAnswer, PresetLookup, PresetMemory};

/// The registry.
#[derive(Clone, Debug, Default)]
pub struct SimRegistry {
    /// Set while it does not answer.
    pub down: bool,
    /// Commits that the hub had before. The head of its branches moves with each.
    pub moves: u32,
}

impl SimRegistry {
    /// Goes down or comes back. The hub moves its branches meanwhile.
    pub(crate) fn toggle(&mut self) {
        self.down = !self.down;
        self.moves += 1;
    }

    /// Returns the preset with the commit of the hub, which pinned ones do not need.
    fn with_head(&self, preset: &Preset) -> Arc<Preset> {
        let head = preset.revision.is_none().then(|| format!("{:040x}", self.moves));
        Arc::new(Preset {
            head,
            ..preset.clone()
        })
    }

    fn answer(&self, name: &str) -> PresetAnswer {
        match Catalog::embedded() {
            Ok(catalog) if !self.down => match catalog.find(name) {
                Some(preset) => PresetAnswer::Found(self.with_head(preset)),
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
            return PresetLookup::Found(registry.with_head(&preset));
        }
        let elapsed = Duration::from_millis(u64::try_from(now.as_millisecond()).unwrap_or_default());
        let memory = self.memory.entry(name.to_owned()).or_default();
        match memory.fresh(elapsed) {
            Some(lookup) => lookup.clone(),
            None => memory.record(registry.answer(name), last, elapsed),
        }
    }
}

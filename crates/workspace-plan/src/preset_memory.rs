//! The last answers of a preset registry about one preset name, and how long each is used.

use std::sync::Arc;
use std::time::Duration;

use preset_catalog::Preset;

use crate::observed::PresetLookup;

/// Time for which a found preset is used without asking again.
const FOUND_FRESH: Duration = Duration::from_secs(60);
/// Time for which "unknown" is used: a catalog may grow.
const UNKNOWN_FRESH: Duration = Duration::from_secs(5);
/// Pause after a call that failed.
const UNAVAILABLE_FRESH: Duration = Duration::from_secs(2);

/// Answers about one preset name. Times are measured from any fixed instant.
#[derive(Clone, Debug, Default)]
pub struct PresetMemory {
    last_good: Option<Arc<Preset>>,
    answer: Option<(PresetLookup, Duration)>,
}

/// A registry's answer to one call.
#[derive(Clone, Debug)]
pub enum PresetAnswer {
    /// The preset.
    Found(Arc<Preset>),
    /// The registry has no preset of this name.
    Unknown {
        /// Similar names.
        near: Vec<String>,
    },
    /// The call failed.
    Failed {
        /// Reason, for people. It stays the same while the state stays the same.
        message: String,
    },
}

impl PresetMemory {
    /// Returns the last answer, if it is recent enough to be used without asking again.
    #[must_use]
    pub fn fresh(&self, now: Duration) -> Option<&PresetLookup> {
        let (answer, at) = self.answer.as_ref()?;
        let fresh_for = match answer {
            PresetLookup::NotNeeded | PresetLookup::Found(_) => FOUND_FRESH,
            PresetLookup::Unknown { .. } => UNKNOWN_FRESH,
            PresetLookup::Unavailable { .. } | PresetLookup::Asking => UNAVAILABLE_FRESH,
        };
        (now.saturating_sub(*at) < fresh_for).then_some(answer)
    }

    /// Returns the last answer, however old; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<&PresetLookup> {
        self.answer.as_ref().map(|(answer, _)| answer)
    }

    /// Records an answer and returns it as a lookup.
    ///
    /// A failed call falls back on the last preset that was found, else on `fallback`.
    pub fn record(
        &mut self,
        answer: PresetAnswer,
        fallback: impl FnOnce() -> Option<Arc<Preset>>,
        now: Duration,
    ) -> PresetLookup {
        let lookup = match answer {
            PresetAnswer::Found(preset) => {
                self.last_good = Some(Arc::clone(&preset));
                PresetLookup::Found(preset)
            }
            PresetAnswer::Unknown { near } => {
                self.last_good = None;
                PresetLookup::Unknown { near }
            }
            PresetAnswer::Failed { message } => PresetLookup::Unavailable {
                message,
                last_good: self.last_good.clone().or_else(fallback),
            },
        };
        self.answer = Some((lookup.clone(), now));
        lookup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_keeps_the_last_preset_and_unknown_drops_it() {
        let mut memory = PresetMemory::default();
        let at = Duration::from_secs;
        let catalog = preset_catalog::Catalog::embedded().unwrap();
        let preset = Arc::new(catalog.find("phi-4").unwrap().clone());
        let failed = || PresetAnswer::Failed {
            message: "no connection".to_owned(),
        };
        memory.record(PresetAnswer::Found(Arc::clone(&preset)), || None, at(0));
        assert!(matches!(memory.fresh(at(59)), Some(PresetLookup::Found(_))));
        assert!(memory.fresh(at(60)).is_none());
        let kept = memory.record(failed(), || None, at(60));
        assert!(matches!(kept, PresetLookup::Unavailable { last_good: Some(kept), .. } if kept == preset));
        memory.record(PresetAnswer::Unknown { near: Vec::new() }, || None, at(70));
        assert!(memory.fresh(at(74)).is_some() && memory.fresh(at(75)).is_none());
        let nothing = memory.record(failed(), || None, at(80));
        assert!(matches!(
            nothing,
            PresetLookup::Unavailable { last_good: None, .. }
        ));
        assert!(memory.fresh(at(82)).is_none());
    }
}

//! The controller's copy of the registry's catalog, shared between its watch and the lookups.

use std::sync::{Arc, PoisonError, RwLock};

use preset_catalog::Preset;
use preset_registry_api::ConversionError;
use preset_registry_api::v1::WatchPresetsResponse;

use crate::catalog_snapshot::CatalogSnapshot;

/// The copy of the catalog; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CatalogCache(Arc<RwLock<CatalogState>>);

#[derive(Debug, Default)]
struct CatalogState {
    snapshot: CatalogSnapshot,
    /// True while the watch is connected and the snapshot is complete.
    current: bool,
}

impl CatalogCache {
    /// Returns the preset if the registry has it now; `None` if not, or while the watch is broken.
    pub(crate) fn current(&self, name: &str) -> Option<Arc<Preset>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state
            .current
            .then(|| state.snapshot.find(name).cloned())
            .flatten()
    }

    /// Returns the preset as of the last message of the registry.
    pub(crate) fn last_known(&self, name: &str) -> Option<Arc<Preset>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.snapshot.find(name).cloned()
    }

    /// Returns the version of the catalog; empty before the first message.
    pub(crate) fn version(&self) -> String {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.snapshot.version().to_owned()
    }

    /// Applies one message of the watch. Returns true if the catalog is complete and up to date afterwards.
    ///
    /// # Errors
    /// When a preset cannot be read: the registry uses a later format.
    pub(crate) fn apply(&self, message: WatchPresetsResponse) -> Result<bool, ConversionError> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let complete = state.snapshot.apply(message)?;
        state.current |= complete;
        Ok(complete)
    }

    /// Marks the catalog as outdated. Returns true if it was current.
    pub(crate) fn disconnect(&self) -> bool {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.current)
    }
}

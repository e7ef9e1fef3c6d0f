//! The controller's copy of the registry's catalog, shared between its watch and the lookups.

use std::sync::{Arc, PoisonError, RwLock};

use preset_catalog::Preset;
use preset_registry_api::v1::WatchPresetsResponse;
use tokio::sync::Notify;

use crate::catalog_snapshot::CatalogSnapshot;

/// The copy of the catalog; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CatalogCache(Arc<RwLock<CatalogState>>, Arc<Notify>);

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
    pub(crate) fn apply(&self, message: WatchPresetsResponse) -> bool {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let complete = state.snapshot.apply(message);
        state.current |= complete;
        drop(state);
        if complete {
            self.1.notify_waiters();
        }
        complete
    }

    /// Reports whether the watch is connected and the catalog complete.
    pub(crate) fn is_current(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).current
    }

    /// Returns once the catalog is complete and up to date.
    pub(crate) async fn ready(&self) {
        loop {
            let changed = self.1.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_current() {
                return;
            }
            changed.await;
        }
    }

    /// Marks the catalog as outdated. Returns true if it was current.
    pub(crate) fn disconnect(&self) -> bool {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.current)
    }
}

//! The registry of a user, as tests use it.

use std::sync::{MutexGuard, PoisonError};

use anyhow::Result;

use crate::Installation;
use crate::registry::UserRegistry;

impl Installation {
    /// `HOST:PORT` of the registry, for pods.
    #[must_use]
    pub fn registry_name(&self) -> String {
        self.locked().name()
    }

    /// Ends the registry, as a crash does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn stop_registry(&self) -> Result<()> {
        self.locked().stop()
    }

    /// Starts the registry again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_registry(&self) -> Result<()> {
        self.locked().start_again(&self.env)
    }

    /// Reports whether the registry has a blob or a manifest with this digest.
    #[must_use]
    pub fn registry_has(&self, digest: &str) -> bool {
        self.locked().has(digest)
    }

    fn locked(&self) -> MutexGuard<'_, UserRegistry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

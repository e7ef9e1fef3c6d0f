//! The registry of a user, as tests use it.

use std::sync::{MutexGuard, PoisonError};

use anyhow::Result;
use local_cluster::nodes::HOST_NAME;
use testkit::image_registry::Registry;

use crate::Installation;

impl Installation {
    /// `HOST:PORT` of the registry, for pods.
    #[must_use]
    pub fn registry_name(&self) -> String {
        format!("{HOST_NAME}:{}", self.locked().address().port())
    }

    /// Ends the registry, as a crash does.
    pub fn stop_registry(&self) {
        self.locked().stop();
    }

    /// Starts the registry again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_registry(&self) -> Result<()> {
        self.locked().start_again()
    }

    /// Reports whether the registry has a blob or a manifest with this digest.
    #[must_use]
    pub fn registry_has(&self, digest: &str) -> bool {
        self.locked().blob(digest).is_file()
    }

    fn locked(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

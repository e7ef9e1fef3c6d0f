//! Named questions whose answers a probe shows. Holds functions only; [`crate::Admin`] asks them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of one probe. Clones share them.
#[derive(Clone, Default)]
pub struct Checks {
    checks: Arc<Mutex<BTreeMap<String, Check>>>,
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checks")
            .field(&self.lock().keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Checks {
    /// Creates no checks: all pass.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, or replaces the one of this name. The reason of a failure must hold no secret: every client of the
    /// probe sees it.
    pub fn add(
        &self,
        name: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.lock().insert(name.into(), Arc::new(check));
    }

    /// The checks that fail, each with its reason.
    #[must_use]
    pub fn failing(&self) -> Vec<(String, String)> {
        let checks = self.lock().clone();
        checks
            .into_iter()
            .filter_map(|(name, check)| check().err().map(|reason| (name, reason)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Check>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_check_is_named() {
        let checks = Checks::new();
        checks.add("queue", || Ok(()));
        checks.add("watch of Node", || Err("no answer for 7 min".to_owned()));
        assert_eq!(
            checks.failing(),
            [("watch of Node".to_owned(), "no answer for 7 min".to_owned())]
        );
        checks.add("watch of Node", || Ok(()));
        assert_eq!(checks.failing(), []);
    }
}

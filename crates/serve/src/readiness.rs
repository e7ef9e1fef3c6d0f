//! Named gates that must all be open, and checks that must pass, for a program to be ready. Holds state only;
//! [`crate::Admin`] shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checks::Checks;

/// The gates and checks of a program. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    checks: Checks,
    gates: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

#[derive(Clone, Debug)]
struct State {
    open: bool,
    reason: String,
}

/// A handle of one gate.
#[derive(Clone, Debug)]
pub struct Gate {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Creates no gates: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a gate that is closed until it is set.
    #[must_use]
    pub fn gate(&self, name: &'static str) -> Gate {
        self.lock().insert(
            name,
            State {
                open: false,
                reason: "starting".to_owned(),
            },
        );
        Gate {
            name,
            readiness: self.clone(),
        }
    }

    /// Checks that are asked each time.
    #[must_use]
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// The closed gates and failing checks, each with its reason; empty if the program is ready.
    #[must_use]
    pub fn closed(&self) -> Vec<(String, String)> {
        let gates: Vec<_> = self
            .lock()
            .iter()
            .filter(|(_, s)| !s.open)
            .map(|(name, s)| ((*name).to_owned(), s.reason.clone()))
            .collect();
        gates.into_iter().chain(self.checks.failing()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Opens or closes the gate. The reason must hold no secret: every client of the probe sees it.
    pub fn set(&self, open: bool, reason: impl Into<String>) {
        self.readiness.lock().insert(
            self.name,
            State {
                open,
                reason: reason.into(),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_has_to_be_open() {
        let readiness = Readiness::new();
        let (stores, crds) = (readiness.gate("stores"), readiness.gate("crds"));
        stores.set(true, "");
        crds.set(false, "machines.karpenter.sh is missing");
        assert_eq!(
            readiness.closed(),
            [("crds".to_owned(), "machines.karpenter.sh is missing".to_owned())]
        );
        crds.set(true, "");
        readiness.checks().add("watch", || Err("outdated".to_owned()));
        assert_eq!(readiness.closed(), [("watch".to_owned(), "outdated".to_owned())]);
        readiness.checks().add("watch", || Ok(()));
        assert_eq!(readiness.closed(), []);
    }
}

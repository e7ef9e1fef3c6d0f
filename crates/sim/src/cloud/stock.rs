//! The stock of scarce offerings: a request beyond it fails.

use cloudprovider::{InstanceState, LaunchSpec, Offering, ProviderError};

use super::faults::error;
use super::{Attempt, Cloud, Ending, Pool};

impl Cloud {
    /// Every request for an instance that reached the cloud's stock, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Returns the error of a request for an offering that the cloud has no more machine of, and whether it comes at once.
    pub(super) fn scarcity(&mut self, spec: &LaunchSpec) -> Option<(ProviderError, bool)> {
        let offering = spec.offering();
        let in_use = self
            .pools
            .values()
            .filter(|pool| has_machine(pool, &offering))
            .count();
        let supply = self
            .supply
            .get(&offering)
            .filter(|supply| in_use >= supply.machines);
        let refusal = supply.map(|supply| {
            let message = format!("no machine is free: {offering}");
            (error(supply.class, "NoMachine", &message), supply.at_once)
        });
        self.attempts.push(Attempt {
            at: self.now,
            name: spec.name.clone(),
            offering,
            is_refused: refusal.is_some(),
        });
        refusal
    }
}

fn has_machine(pool: &Pool, offering: &Offering) -> bool {
    let fails = pool.work.as_ref().is_some_and(|work| {
        matches!(work.ends, Ending::Failed(_)) && pool.facts.state == InstanceState::Creating
    });
    let failed = matches!(pool.facts.state, InstanceState::Failed | InstanceState::Canceled);
    !fails && !failed && pool.facts.offering().as_ref() == Some(offering)
}

//! The stock of scarce offerings: a request beyond it, or beyond a quota, fails.

use cloudprovider::{CapacityType, ErrorClass, Instance, InstanceState, Offering, ProviderError};

use super::faults::error;
use super::{Attempt, Cloud, Ending, Pool};

impl Cloud {
    /// Every request for an instance that reached the cloud's stock, and every one that it refused at once, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Buys a machine for another provisioner: the cheapest offering that can be had. Returns it, or the refusal of the last.
    ///
    /// # Errors
    /// If none can be had.
    pub fn buy_elsewhere(
        &mut self,
        name: &str,
        mut offerings: Vec<Offering>,
    ) -> Result<Offering, Option<ProviderError>> {
        // A reservation is paid already, and spot capacity is cheap.
        let price = |offering: &Offering| match offering.capacity_type {
            CapacityType::Reserved => 0,
            CapacityType::Spot => 1,
            CapacityType::OnDemand => 2,
        };
        offerings.sort_by_key(price);
        let mut last = None;
        for offering in offerings {
            last = self.scarcity(&offering).map(|(refusal, _)| refusal);
            self.record(name, &offering, last.as_ref().map(|refusal| refusal.class));
            if last.is_none() {
                self.elsewhere.insert(name.to_owned(), offering.clone());
                return Ok(offering);
            }
        }
        Err(last)
    }

    /// Records that another provisioner failed to launch any of the offerings.
    pub fn fail_elsewhere(&mut self, name: &str, offerings: &[Offering]) {
        for offering in offerings {
            self.record(name, offering, Some(ErrorClass::Capacity));
        }
    }

    /// Machines of other provisioners: name and offering.
    pub fn elsewhere(&self) -> impl Iterator<Item = (&str, &Offering)> {
        self.elsewhere
            .iter()
            .map(|(name, offering)| (name.as_str(), offering))
    }

    /// Keeps the machines of other provisioners that are still there.
    pub fn keep_elsewhere(&mut self, is_there: impl Fn(&str) -> bool) {
        self.elsewhere.retain(|name, _| is_there(name));
    }

    /// Offerings that machines are sold as, one for each machine. A failed creation uses none.
    pub(super) fn sold(&self) -> impl Iterator<Item = Offering> {
        let own = self
            .pools
            .values()
            .filter(|pool| !pool.fails() && !has_failed(&pool.facts));
        let own = own.filter_map(|pool| pool.facts.offering());
        own.chain(self.elsewhere.values().cloned())
    }

    /// Returns the error of a request for an offering that the cloud has no more machine of, and whether it comes at once.
    pub(super) fn scarcity(&self, offering: &Offering) -> Option<(ProviderError, bool)> {
        if let Some(refusal) = self.quotas.over(offering, self.sold()) {
            return Some((refusal, true));
        }
        let supply = self.supply.get(offering)?;
        let in_use = self.sold().filter(|sold| sold == offering).count();
        (in_use >= supply.machines).then(|| {
            let message = format!("no machine is free: {offering}");
            (error(supply.class, "NoMachine", &message), supply.at_once)
        })
    }

    /// Records a request, and the class of its refusal.
    pub(super) fn record(&mut self, name: &str, offering: &Offering, refusal: Option<ErrorClass>) {
        self.attempts.push(Attempt {
            at: self.now,
            name: name.to_owned(),
            offering: offering.clone(),
            refusal,
        });
    }
}

impl Pool {
    /// Returns true if its creation is going to fail.
    pub(super) fn fails(&self) -> bool {
        let ends = self.work.as_ref().map(|work| &work.ends);
        matches!(ends, Some(Ending::Failed(_))) && self.facts.state == InstanceState::Creating
    }
}

fn has_failed(instance: &Instance) -> bool {
    matches!(instance.state, InstanceState::Failed | InstanceState::Canceled)
}

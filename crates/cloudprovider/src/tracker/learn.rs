//! Offerings that the cloud had or refused, as instances of ours show it.

use jiff::Timestamp;

use super::InstanceTracker;
use crate::call::CallKind;
use crate::error::ProviderError;
use crate::instance::{Instance, InstanceState, Ownership};
use crate::offering::Offering;
use crate::snapshot::InstanceLookup;

impl InstanceTracker {
    /// State of an instance, by all reads.
    pub(super) fn state(&self, name: &str) -> Option<InstanceState> {
        match self.lookup(name) {
            InstanceLookup::Found(instance) => Some(instance.state.clone()),
            InstanceLookup::Unknown | InstanceLookup::Absent { .. } => None,
        }
    }

    /// Learns from the note of a claim that the Nodes of an offering do not join. The cloud itself reports no failure.
    pub fn learn_noted(&mut self, offering: &Offering, at: Timestamp, error: &ProviderError) {
        self.offerings.refused(offering, at, at, error);
    }

    /// Learns from an instance of ours whether the cloud had its offering.
    pub(super) fn learn(&mut self, before: Option<&InstanceState>, found: &Instance) {
        if !matches!(found.owner, Ownership::Ours { .. }) {
            return;
        }
        match (&found.state, &found.failure) {
            (InstanceState::Failed, Some(failure)) => self.learn_refusal(found, failure),
            (InstanceState::Succeeded, _) if before == Some(&InstanceState::Creating) => {
                if let Some(offering) = found.offering() {
                    self.offerings.supplied(&offering);
                }
            }
            _ => {}
        }
    }

    /// Learns from a failed instance that the cloud has none of its offering.
    pub(super) fn learn_refusal(&mut self, found: &Instance, failure: &ProviderError) {
        // The first read that shows the failure counts, however often it is read again.
        let seen = self.snapshot.read_times(&found.name).map(|(_, since)| since);
        let sent = self
            .calls
            .get(&found.name)
            .filter(|call| call.kind == CallKind::Create);
        let sent = sent.map_or(Timestamp::MIN, |call| call.at);
        if let (Some(offering), Some(at)) = (found.offering(), seen) {
            self.offerings.refused(&offering, sent, at, failure);
        }
    }
}

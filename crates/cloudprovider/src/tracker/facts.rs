//! Facts about one claim's instance, and the result of recording an answer.

use jiff::{SignedDuration, Timestamp};

use crate::call::{CallOutcome, CloudCall, Deferral};
use crate::error::ProviderError;
use crate::snapshot::InstanceLookup;

/// The cloud's refusal of an instance because the cluster has as many as it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullCluster {
    /// Name of the claim whose request shows whether there is room again. The others wait for it.
    pub claim: String,
    /// Time of its last refusal.
    pub at: Timestamp,
    /// Number of instances at that time.
    pub(super) instances: usize,
}

/// Knowledge of one claim's instance.
#[derive(Clone, Debug)]
pub struct InstanceFacts {
    /// By reads that started after the claim was first seen.
    pub lookup: InstanceLookup,
    /// The last Create, Delete or Abort.
    pub last_call: Option<CallOutcome>,
    /// The last request, if a limit of our own kept it back.
    pub deferral: Option<Deferral>,
    /// Reason of a failed operation, once it was read.
    pub failure: Option<ProviderError>,
    /// Start of the newest read that showed the instance.
    pub read_at: Option<Timestamp>,
    /// Start of the first read of this process that showed the instance in its present state.
    pub state_since: Option<Timestamp>,
    /// The cluster is full, as the request of another claim showed.
    pub full: Option<FullCluster>,
}

impl InstanceFacts {
    /// The same facts by another clock, which is ahead of the tracker's by this.
    #[must_use]
    pub fn by_clock(mut self, ahead: SignedDuration) -> Self {
        let shift = |at: &mut Timestamp| *at = at.saturating_add(ahead).unwrap_or(*at);
        self.last_call.iter_mut().for_each(|call| shift(&mut call.at));
        if let Some(deferral) = &mut self.deferral {
            shift(&mut deferral.at);
            shift(&mut deferral.until);
        }
        self.read_at.iter_mut().for_each(shift);
        self.state_since.iter_mut().for_each(shift);
        if let Some(full) = &mut self.full {
            shift(&mut full.at);
        }
        self
    }
}

/// Result of recording an answer.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The error of the call, otherwise whether the next plan may differ.
    pub result: Result<bool, ProviderError>,
    /// A read to send now: the answer did not show the instance as it is.
    pub follow_up: Option<CloudCall>,
}

impl Recorded {
    pub(super) fn done(result: Result<bool, ProviderError>) -> Self {
        let follow_up = None;
        Self { result, follow_up }
    }

    pub(super) fn then_read(result: Result<bool, ProviderError>, name: &str) -> Self {
        let name = name.to_owned();
        let follow_up = Some(CloudCall::Read { name });
        Self { result, follow_up }
    }

    /// Result of the call once its follow-up read ended with `read`. The first error counts.
    ///
    /// # Errors
    /// The error of the call, otherwise the error of the read.
    pub fn and(self, read: Result<bool, ProviderError>) -> Result<bool, ProviderError> {
        let news = self.result?;
        read.map(|more| news || more)
    }
}

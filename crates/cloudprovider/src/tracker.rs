//! Bookkeeping of a provisioner: the snapshot of instances, the outcome of its requests, and the reasons of failures.
//!
//! It is a value without I/O, lock or clock. Its times are those of one clock that never steps. The caller sends a
//! [`CloudCall`](crate::CloudCall) and hands in the answer; the tracker may ask for a follow-up read. All of it is memory; a restart costs requests, never an instance.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::brake::{DeletionBrake, MassFailure};
use crate::call::{CallKind, CallOutcome, Deferral};
use crate::error::{ErrorClass, ProviderError};
use crate::instance::Instance;
use crate::launch::LaunchSpec;
use crate::offering::RefusedOfferings;
use crate::provider::{Accepted, OperationStatus};
use crate::snapshot::{InstanceLookup, Snapshot};

mod facts;
mod learn;
mod replacement;

pub use facts::{FullCluster, InstanceFacts, Recorded};

/// Instances, requests and failures, by name of the claim.
#[derive(Clone, Debug, Default)]
pub struct InstanceTracker {
    snapshot: Snapshot,
    /// UID of the claim, and when this process first saw it.
    claims: HashMap<String, (String, Timestamp)>,
    calls: HashMap<String, CallOutcome>,
    deferrals: HashMap<String, Deferral>,
    failures: HashMap<String, ProviderError>,
    /// Failed reads of an operation in a row.
    unread: HashMap<String, u32>,
    first_seen: BTreeMap<String, Timestamp>,
    listing_wanted: bool,
    launches_held: bool,
    full: Option<FullCluster>,
    offerings: RefusedOfferings,
    brake: DeletionBrake,
    mass_failure: Option<MassFailure>,
    /// Claims that are given up because their Nodes are to be replaced.
    replaced: BTreeSet<String>,
}

/// Most failed reads of an operation. After them the instance counts as failed without a known reason.
const MAX_OPERATION_READS: u32 = 5;
/// Pause after a request that a limit of our own kept back without a time.
const DEFERRED: SignedDuration = SignedDuration::from_secs(1);

impl InstanceTracker {
    /// Returns the facts about the instance of a claim. A new claim of an old name starts without a past, and wants a
    /// listing, since older ones prove nothing about it.
    pub fn view(&mut self, name: &str, claim_uid: &str, now: Timestamp) -> InstanceFacts {
        let known = self.claims.get(name).filter(|(uid, _)| uid == claim_uid);
        let since = known.map(|(_, since)| *since).unwrap_or_else(|| {
            self.forget(name);
            self.claims.insert(name.to_owned(), (claim_uid.to_owned(), now));
            self.listing_wanted = true;
            now
        });
        let times = self.snapshot.read_times(name);
        InstanceFacts {
            lookup: self.snapshot.lookup(name, since),
            last_call: self.calls.get(name).cloned(),
            deferral: self.deferrals.get(name).cloned(),
            failure: self.failures.get(name).cloned(),
            read_at: times.map(|(at, _)| at),
            state_since: times.map(|(_, since)| since),
            full: self.full.clone().filter(|full| full.claim != name),
        }
    }

    /// Returns the facts about the instance of a name that belongs to another claim: nothing of that claim's past.
    #[must_use]
    pub fn view_of_other(&self, name: &str) -> InstanceFacts {
        InstanceFacts {
            lookup: self.lookup(name),
            last_call: None,
            deferral: None,
            failure: None,
            read_at: None,
            state_since: None,
            full: None,
        }
    }

    /// Returns true once after claims were seen for the first time.
    pub fn take_listing_wanted(&mut self) -> bool {
        std::mem::take(&mut self.listing_wanted)
    }

    /// Holds launches, or permits them again. Returns true if that changes anything.
    pub fn hold_launches(&mut self, held: bool) -> bool {
        std::mem::replace(&mut self.launches_held, held) != held
    }

    /// Returns true if launches are held.
    #[must_use]
    pub fn are_launches_held(&self) -> bool {
        self.launches_held
    }

    /// Returns the refusal that shows that the cluster is full; `None` if there may be room.
    #[must_use]
    pub fn full(&self) -> Option<&FullCluster> {
        self.full.as_ref()
    }

    /// Offerings that the cloud refused, whichever claim asked.
    #[must_use]
    pub fn refused_offerings(&self) -> &RefusedOfferings {
        &self.offerings
    }

    /// Looks an instance up by all reads, whatever claim it belongs to.
    #[must_use]
    pub fn lookup(&self, name: &str) -> InstanceLookup {
        self.snapshot.lookup(name, Timestamp::MIN)
    }

    /// The last Create, Delete or Abort of a name.
    #[must_use]
    pub fn last_call(&self, name: &str) -> Option<&CallOutcome> {
        self.calls.get(name)
    }

    /// The last Create, Delete or Abort of a name, if it was a Delete.
    #[must_use]
    pub fn last_delete(&self, name: &str) -> Option<&CallOutcome> {
        self.last_call(name).filter(|call| call.kind == CallKind::Delete)
    }

    /// Forgets a claim that is gone. The instance itself stays known.
    pub fn forget(&mut self, name: &str) {
        self.claims.remove(name);
        self.calls.remove(name);
        self.deferrals.remove(name);
        self.failures.remove(name);
        self.unread.remove(name);
        self.offerings.stopped_asking(name);
        self.replaced.remove(name);
        self.full.take_if(|full| full.claim == name);
    }

    /// Every instance that exists, by name.
    #[must_use]
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        self.snapshot.instances().cloned().collect()
    }

    /// Time at which this process first listed each instance.
    #[must_use]
    pub fn first_seen(&self) -> &BTreeMap<String, Timestamp> {
        &self.first_seen
    }

    /// Records a complete listing that started at `started`. Returns the names of instances that are news.
    pub fn on_list(&mut self, started: Timestamp, instances: Vec<Instance>) -> Vec<String> {
        self.full.take_if(|full| instances.len() < full.instances);
        let before: Vec<_> = instances.iter().map(|found| self.state(&found.name)).collect();
        let after = instances.clone();
        let changed = self.snapshot.record_list(started, instances);
        for (before, found) in before.iter().zip(&after) {
            self.learn(before.as_ref(), found);
        }
        let present: Vec<String> = self
            .snapshot
            .instances()
            .map(|found| found.name.clone())
            .collect();
        self.first_seen.retain(|name, _| present.contains(name));
        for name in present {
            self.first_seen.entry(name).or_insert(started);
        }
        changed
    }

    /// Records the answer to a Read that started at `started`.
    pub fn on_read(
        &mut self,
        started: Timestamp,
        name: &str,
        answer: Result<Instance, ProviderError>,
    ) -> Recorded {
        Recorded::done(match answer {
            Ok(instance) => {
                let before = self.state(name);
                let news = self.snapshot.record_found(started, instance.clone());
                self.learn(before.as_ref(), &instance);
                Ok(news)
            }
            Err(error) if error.class == ErrorClass::NotFound => {
                Ok(self.snapshot.record_absent(started, name))
            }
            Err(error) => Err(error),
        })
    }

    /// Records the answer to a Create that came at `at`.
    pub fn on_create(
        &mut self,
        at: Timestamp,
        spec: &LaunchSpec,
        answer: Result<Accepted, ProviderError>,
    ) -> Recorded {
        let name = &spec.name;
        match answer {
            Ok(accepted) => {
                self.record(at, name, CallKind::Create, None, accepted.operation_url);
                self.full = None;
                self.offerings.asked(&spec.offering(), name, at);
                self.failures.remove(name);
                self.unread.remove(name);
                let instance = accepted.instance.unwrap_or_else(|| Instance::launching(spec));
                self.snapshot.record_found(at, instance);
                Recorded::done(Ok(true))
            }
            Err(error) => {
                self.record(at, name, CallKind::Create, Some(&error), None);
                self.offerings.refused(&spec.offering(), at, at, &error);
                if error.class == ErrorClass::ClusterFull {
                    self.record_full(at, name);
                }
                // The request may have been carried out although its answer was lost: earlier reads prove nothing.
                if error.class == ErrorClass::Transient {
                    self.snapshot.invalidate(at, name);
                }
                if may_exist_after(error.class) {
                    Recorded::then_read(Err(error), name)
                } else {
                    Recorded::done(Err(error))
                }
            }
        }
    }

    /// Records the answer to a Delete that started at `started` and was answered at `at`.
    pub fn on_delete(
        &mut self,
        (started, at): (Timestamp, Timestamp),
        name: &str,
        answer: Result<Accepted, ProviderError>,
    ) -> Recorded {
        let error = answer.err();
        if let Some(error) = error.as_ref().filter(|error| is_deferred(error)) {
            self.record(at, name, CallKind::Delete, Some(error), None);
            return Recorded::done(Err(error.clone()));
        }
        if error.as_ref().is_some_and(|e| e.class == ErrorClass::NotFound) {
            self.record(at, name, CallKind::Delete, None, None);
            self.snapshot.record_absent(started, name);
            return Recorded::done(Ok(true));
        }
        self.record(at, name, CallKind::Delete, error.as_ref(), None);
        // The answer shows no instance, and the next plan must see it being deleted.
        Recorded::then_read(error.map_or(Ok(true), Err), name)
    }

    /// Records the answer to an Abort that came at `at`.
    pub fn on_abort(
        &mut self,
        at: Timestamp,
        name: &str,
        answer: Result<Accepted, ProviderError>,
    ) -> Recorded {
        let error = answer.err();
        self.record(at, name, CallKind::Abort, error.as_ref(), None);
        if let Some(error) = error.as_ref().filter(|error| is_deferred(error)) {
            return Recorded::done(Err(error.clone()));
        }
        Recorded::then_read(error.map_or(Ok(true), Err), name)
    }

    /// Records the answer to a `ReadOperation`: the reason of a failure, as far as there is one.
    ///
    /// A document that cannot be read is given up, at once if the error lasts. Otherwise the instance would never be
    /// replaced.
    pub fn on_operation(&mut self, name: &str, answer: Result<OperationStatus, ProviderError>) -> Recorded {
        let failure = match answer {
            Ok(OperationStatus::Failed(failure)) => failure,
            // A failed instance may have an operation that runs or succeeded, with the error in the document.
            Ok(OperationStatus::Running(_, Some(error)) | OperationStatus::Succeeded(Some(error))) => error,
            Ok(OperationStatus::Running(_, None) | OperationStatus::Succeeded(None)) => unexplained(),
            // The document is gone: the state of the instance has to do.
            Err(error) if error.class == ErrorClass::NotFound => unexplained(),
            Err(error) => {
                let count = self.unread.entry(name.to_owned()).or_default();
                *count = count.saturating_add(1);
                if may_be_read_later(error.class) && *count < MAX_OPERATION_READS {
                    return Recorded::done(Err(error));
                }
                unreadable(&error)
            }
        };
        if let InstanceLookup::Found(instance) = self.lookup(name) {
            self.learn_refusal(&instance, &failure);
        }
        self.failures.insert(name.to_owned(), failure);
        Recorded::done(Ok(true))
    }

    /// Records that the cluster is full. The claim that showed it first asks for all, as long as there is no room.
    fn record_full(&mut self, at: Timestamp, name: &str) {
        let instances = self.snapshot.instances().count();
        let claim = match self.full.take() {
            Some(full) if self.calls.contains_key(&full.claim) => full.claim,
            _ => name.to_owned(),
        };
        self.full = Some(FullCluster { claim, at, instances });
    }

    fn record(
        &mut self,
        at: Timestamp,
        name: &str,
        kind: CallKind,
        error: Option<&ProviderError>,
        operation_url: Option<String>,
    ) {
        if let Some(error) = error.filter(|error| is_deferred(error)) {
            let until = at
                .saturating_add(error.retry_after.unwrap_or(DEFERRED))
                .unwrap_or(at);
            let error = error.clone();
            let deferral = Deferral {
                at,
                until,
                kind,
                error,
            };
            self.deferrals.insert(name.to_owned(), deferral);
            return;
        }
        self.deferrals.remove(name);
        let before = self.calls.get(name).filter(|call| call.kind == kind);
        let (before, repeats) = before.map_or((0, 0), |call| {
            let accepted = u32::from(call.error.is_none());
            (call.failures, call.repeats.saturating_add(accepted))
        });
        let outcome = CallOutcome {
            at,
            kind,
            error: error.cloned(),
            failures: if error.is_some() { before + 1 } else { 0 },
            repeats,
            operation_url,
        };
        self.calls.insert(name.to_owned(), outcome);
    }
}

/// Returns true if an instance may exist although its Create failed in this way.
fn may_exist_after(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::Precondition | ErrorClass::Transient | ErrorClass::Busy
    )
}

/// Returns true if the request was never sent.
fn is_deferred(error: &ProviderError) -> bool {
    error.class == ErrorClass::LocallyLimited
}

fn may_be_read_later(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::Transient | ErrorClass::Throttled | ErrorClass::LocallyLimited | ErrorClass::Busy
    )
}

fn unreadable(error: &ProviderError) -> ProviderError {
    let message = format!(
        "the reason of the failure cannot be read: {}: {}",
        error.code, error.message
    );
    ProviderError::new(ErrorClass::Transient, "Unexplained", message)
}

fn unexplained() -> ProviderError {
    ProviderError::new(
        ErrorClass::Transient,
        "Unexplained",
        "the cloud keeps no reason for the failure",
    )
}

#[cfg(test)]
mod tests;

//! The cloud as the provisioner's shell knows it: the snapshot, what became of requests, and failures read.
//!
//! All of it is memory: a restart loses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::{
    Accepted, AgentPool, AgentPoolSpec, CallKind, CallOutcome, CloudCall, ErrorClass, OperationStatus,
    PoolLookup, ProviderError, ProvisioningState, Snapshot,
};
use jiff::Timestamp;

use crate::cloud::Cloud;
use crate::cloud::faults::error;
use crate::controllers::{Fuse, Halt};

/// Pools, requests and failures.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    snapshot: Snapshot,
    /// By name, the uid of the claim, and when it was first looked at.
    claims: BTreeMap<String, (String, Timestamp)>,
    calls: BTreeMap<String, CallOutcome>,
    failures: BTreeMap<String, ProviderError>,
    /// When each pool was first seen.
    first_seen: BTreeMap<String, Timestamp>,
}

impl Pools {
    /// What is known of a claim's pool; true with it when the claim is new, so that a listing is wanted.
    pub fn view(&mut self, name: &str, uid: &str, now: Timestamp) -> (PoolLookup, bool) {
        let known = self
            .claims
            .get(name)
            .filter(|(known, _)| known == uid)
            .map(|(_, since)| *since);
        let since = known.unwrap_or_else(|| {
            self.forget(name);
            self.claims.insert(name.to_owned(), (uid.to_owned(), now));
            now
        });
        (self.snapshot.lookup(name, since), known.is_none())
    }

    /// What is known of a pool by reads that started after `since`.
    #[must_use]
    pub fn lookup(&self, name: &str, since: Timestamp) -> PoolLookup {
        self.snapshot.lookup(name, since)
    }

    /// What became of the last request about a pool.
    #[must_use]
    pub fn last_call(&self, name: &str) -> Option<CallOutcome> {
        self.calls.get(name).cloned()
    }

    /// Why the pool failed, when that could be read.
    #[must_use]
    pub fn failure(&self, name: &str) -> Option<ProviderError> {
        self.failures.get(name).cloned()
    }

    /// Forgets a claim that is gone.
    pub fn forget(&mut self, name: &str) {
        self.claims.remove(name);
        self.calls.remove(name);
        self.failures.remove(name);
    }

    /// Every pool that is there, and when each was first seen.
    #[must_use]
    pub fn all(&self) -> (Vec<Arc<AgentPool>>, &BTreeMap<String, Timestamp>) {
        (self.snapshot.pools().cloned().collect(), &self.first_seen)
    }

    /// Lists every pool; returns the names of those that are news, and `None` when the listing failed.
    pub fn refresh(&mut self, now: Timestamp, cloud: &mut Cloud) -> Option<Vec<String>> {
        let touched = self.snapshot.listed(now, cloud.list().ok()?);
        let there: Vec<String> = self.snapshot.pools().map(|pool| pool.name.clone()).collect();
        self.first_seen.retain(|name, _| there.contains(name));
        for name in there {
            self.first_seen.entry(name).or_insert(now);
        }
        Some(touched)
    }

    /// Carries out one call and remembers what came of it; the program may die before it does. True when the
    /// answer is worth another look at once.
    ///
    /// # Errors
    /// `Crashed`.
    pub fn carry_out(
        &mut self,
        now: Timestamp,
        call: &CloudCall,
        cloud: &mut Cloud,
        fuse: &mut Fuse,
    ) -> Result<bool, Halt> {
        match call {
            CloudCall::Read { name } => return Ok(self.read(now, name, cloud).unwrap_or(false)),
            CloudCall::Create(spec) => {
                let result = cloud.create(spec);
                fuse.burn()?;
                self.created(now, spec, result, cloud);
            }
            CloudCall::Delete { name, etag } => {
                let result = cloud.delete(name, etag.as_deref());
                fuse.burn()?;
                self.deleted(now, name, result.err(), cloud);
            }
            CloudCall::Abort { name } => {
                let result = cloud.abort(name);
                fuse.burn()?;
                self.record(now, name, CallKind::Abort, result.err(), None);
                let _ = self.read(now, name, cloud);
            }
            CloudCall::ReadOperation { name, url } => self.read_operation(name, url, cloud),
        }
        Ok(true)
    }

    fn created(
        &mut self,
        now: Timestamp,
        spec: &AgentPoolSpec,
        result: Result<Accepted, ProviderError>,
        cloud: &mut Cloud,
    ) {
        match result {
            Ok(accepted) => {
                self.record(now, &spec.name, CallKind::Create, None, accepted.operation_url);
                self.failures.remove(&spec.name);
                self.snapshot
                    .seen(now, accepted.pool.unwrap_or_else(|| promised(spec)));
            }
            Err(refusal) => {
                let unsure = matches!(
                    refusal.class,
                    ErrorClass::Precondition | ErrorClass::Transient | ErrorClass::Busy
                );
                let doubtful = refusal.class == ErrorClass::Transient;
                self.record(now, &spec.name, CallKind::Create, Some(refusal), None);
                if doubtful {
                    self.snapshot.doubted(now, &spec.name);
                }
                if unsure {
                    let _ = self.read(now, &spec.name, cloud);
                }
            }
        }
    }

    fn deleted(&mut self, now: Timestamp, name: &str, refusal: Option<ProviderError>, cloud: &mut Cloud) {
        let gone = refusal
            .as_ref()
            .is_some_and(|error| error.class == ErrorClass::NotFound);
        self.record(now, name, CallKind::Delete, refusal.filter(|_| !gone), None);
        if gone {
            self.snapshot.missed(now, name);
        } else {
            let _ = self.read(now, name, cloud);
        }
    }

    fn read_operation(&mut self, name: &str, url: &str, cloud: &mut Cloud) {
        let failure = match cloud.operation(url) {
            Ok(OperationStatus::Failed(failure)) => failure,
            Ok(OperationStatus::Running(_) | OperationStatus::Succeeded) => unexplained(),
            Err(error) if error.class == ErrorClass::NotFound => unexplained(),
            Err(_) => return,
        };
        self.failures.insert(name.to_owned(), failure);
    }

    fn read(&mut self, now: Timestamp, name: &str, cloud: &mut Cloud) -> Result<bool, ProviderError> {
        match cloud.get(name) {
            Ok(pool) => Ok(self.snapshot.seen(now, pool)),
            Err(error) if error.class == ErrorClass::NotFound => Ok(self.snapshot.missed(now, name)),
            Err(error) => Err(error),
        }
    }

    fn record(
        &mut self,
        at: Timestamp,
        name: &str,
        kind: CallKind,
        error: Option<ProviderError>,
        operation_url: Option<String>,
    ) {
        let before = self
            .calls
            .get(name)
            .filter(|call| call.kind == kind)
            .map_or(0, |call| call.failures);
        let failures = if error.is_some() { before + 1 } else { 0 };
        self.calls.insert(
            name.to_owned(),
            CallOutcome {
                at,
                kind,
                error,
                failures,
                operation_url,
            },
        );
    }
}

fn promised(spec: &AgentPoolSpec) -> AgentPool {
    AgentPool {
        name: spec.name.clone(),
        count: Some(1),
        vm_size: Some(spec.vm_size.clone()),
        state: ProvisioningState::Creating,
        mode: Some("User".to_owned()),
        labels: spec.labels.clone(),
        taints: spec.taints.clone(),
        tags: spec.tags.clone(),
        ..AgentPool::default()
    }
}

fn unexplained() -> ProviderError {
    error(
        ErrorClass::Transient,
        "Unexplained",
        "the cloud keeps no reason for the failure",
    )
}

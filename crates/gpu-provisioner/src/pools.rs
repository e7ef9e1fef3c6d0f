//! The cloud as the provisioner knows it: the snapshot of agent pools, what became of our requests, and the
//! loop that keeps both current.
//!
//! Carries out calls that a planner chose and records what came of them; chooses none itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloudprovider::{
    AgentPool, AgentPoolSpec, CallKind, CallOutcome, CloudCall, CloudProvider, ErrorClass, OperationStatus,
    PoolLookup, ProviderError, ProvisioningState, Snapshot,
};
use jiff::Timestamp;
use tokio::sync::Notify;

/// What is known of one claim's pool.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// By reads that started after the claim was first seen.
    pub pool: PoolLookup,
    /// The last request that changed or tried to change something.
    pub last_call: Option<CallOutcome>,
    /// Why the pool failed, when that could be read.
    pub failure: Option<ProviderError>,
}

/// Pools, requests and failures.
#[derive(Debug)]
pub struct Pools {
    provider: Arc<dyn CloudProvider>,
    state: Mutex<State>,
    nudge: Notify,
}

#[derive(Debug, Default)]
struct State {
    snapshot: Snapshot,
    /// UID of the claim of each name, and when it was first looked at in this process.
    claims: HashMap<String, (String, Timestamp)>,
    calls: HashMap<String, CallOutcome>,
    failures: HashMap<String, ProviderError>,
    /// When each pool was first seen in this process.
    first_seen: BTreeMap<String, Timestamp>,
}

impl Pools {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(provider: Arc<dyn CloudProvider>) -> Self {
        Self {
            provider,
            state: Mutex::default(),
            nudge: Notify::new(),
        }
    }

    /// What is known of the pool of a claim.
    #[must_use]
    pub fn view(&self, name: &str, claim_uid: &str, now: Timestamp) -> PoolView {
        let mut state = self.lock();
        let since = match state.claims.get(name) {
            Some((uid, since)) if uid == claim_uid => *since,
            _ => {
                state.forget(name);
                state.claims.insert(name.to_owned(), (claim_uid.to_owned(), now));
                // A new claim waits for a listing that started after it.
                self.nudge.notify_one();
                now
            }
        };
        PoolView {
            pool: state.snapshot.lookup(name, since),
            last_call: state.calls.get(name).cloned(),
            failure: state.failures.get(name).cloned(),
        }
    }

    /// What is known of a pool, whoever asks.
    #[must_use]
    pub fn lookup(&self, name: &str) -> PoolLookup {
        self.lock().snapshot.lookup(name, Timestamp::MIN)
    }

    /// Forgets a claim that is gone.
    pub fn forget(&self, name: &str) {
        self.lock().forget(name);
    }

    /// Every pool that is there, and when each was first seen.
    #[must_use]
    pub fn all(&self) -> (Vec<Arc<AgentPool>>, BTreeMap<String, Timestamp>) {
        let state = self.lock();
        (
            state.snapshot.pools().cloned().collect(),
            state.first_seen.clone(),
        )
    }

    /// Waits until somebody wants a fresh listing.
    pub async fn wanted(&self) {
        self.nudge.notified().await;
    }

    /// Lists every pool. Returns the names of those that are news.
    ///
    /// # Errors
    /// The provider's; the snapshot is left as it was.
    pub async fn refresh(&self) -> Result<Vec<String>, ProviderError> {
        let started = Timestamp::now();
        let pools = self.provider.list().await?;
        let mut state = self.lock();
        let touched = state.snapshot.listed(started, pools);
        let there: Vec<String> = state.snapshot.pools().map(|p| p.name.clone()).collect();
        state.first_seen.retain(|name, _| there.contains(name));
        for name in there {
            state.first_seen.entry(name).or_insert(started);
        }
        Ok(touched)
    }

    /// Carries out one call and remembers what came of it.
    ///
    /// # Errors
    /// The provider's, after it was recorded.
    pub async fn carry_out(&self, call: &CloudCall) -> Result<(), ProviderError> {
        let started = Timestamp::now();
        match call {
            CloudCall::Read { name } => self.read(name).await,
            CloudCall::Create(spec) => {
                let result = self.provider.create(spec).await;
                let url = result.as_ref().ok().and_then(|a| a.operation_url.clone());
                self.record(&spec.name, call.kind(), result.as_ref().err(), url);
                match result {
                    Ok(accepted) => {
                        let pool = accepted.pool.unwrap_or_else(|| promised(spec));
                        let mut state = self.lock();
                        state.failures.remove(&spec.name);
                        state.snapshot.seen(Timestamp::now(), pool);
                        Ok(())
                    }
                    // Whether it was made is not known: look before anything else is tried.
                    Err(error) if matters_where_it_is(&error) => {
                        let _ = self.read(&spec.name).await;
                        Err(error)
                    }
                    Err(error) => Err(error),
                }
            }
            CloudCall::Delete { name, etag } => {
                let result = self.provider.delete(name, etag.as_deref()).await;
                let gone = result
                    .as_ref()
                    .err()
                    .is_some_and(|e| e.class == ErrorClass::NotFound);
                self.record(name, call.kind(), result.as_ref().err().filter(|_| !gone), None);
                if gone {
                    self.lock().snapshot.missed(started, name);
                    return Ok(());
                }
                // The answer to a delete shows no pool: read it, so that the next pass sees it going.
                let read = self.read(name).await;
                result.map(|_| ()).and(read)
            }
            CloudCall::Abort { name } => {
                let result = self.provider.abort(name).await;
                self.record(name, call.kind(), result.as_ref().err(), None);
                let read = self.read(name).await;
                result.map(|_| ()).and(read)
            }
            CloudCall::ReadOperation { name, url } => {
                let failure = match self.provider.operation(url).await {
                    Ok(OperationStatus::Failed(failure)) => failure,
                    Ok(OperationStatus::Running(_) | OperationStatus::Succeeded) => unexplained(),
                    // The document is gone: the pool's state has to do.
                    Err(error) if error.class == ErrorClass::NotFound => unexplained(),
                    Err(error) => return Err(error),
                };
                self.lock().failures.insert(name.clone(), failure);
                Ok(())
            }
        }
    }

    async fn read(&self, name: &str) -> Result<(), ProviderError> {
        let started = Timestamp::now();
        match self.provider.get(name).await {
            Ok(pool) => {
                self.lock().snapshot.seen(started, pool);
                Ok(())
            }
            Err(error) if error.class == ErrorClass::NotFound => {
                self.lock().snapshot.missed(started, name);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn record(
        &self,
        name: &str,
        kind: CallKind,
        error: Option<&ProviderError>,
        operation_url: Option<String>,
    ) {
        let mut state = self.lock();
        let before = state
            .calls
            .get(name)
            .filter(|call| call.kind == kind)
            .map_or(0, |call| call.failures);
        let failures = if error.is_some() { before + 1 } else { 0 };
        let outcome = CallOutcome {
            at: Timestamp::now(),
            kind,
            error: error.cloned(),
            failures,
            operation_url,
        };
        state.calls.insert(name.to_owned(), outcome);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every update leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, name: &str) {
        self.claims.remove(name);
        self.calls.remove(name);
        self.failures.remove(name);
    }
}

fn matters_where_it_is(error: &ProviderError) -> bool {
    matches!(
        error.class,
        ErrorClass::Precondition | ErrorClass::Transient | ErrorClass::Busy
    ) && !error.code.starts_with("Local")
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
        etag: None,
        node_image: None,
    }
}

fn unexplained() -> ProviderError {
    ProviderError {
        class: ErrorClass::Transient,
        code: "Unexplained".to_owned(),
        message: "the cloud keeps no reason for the failure".to_owned(),
        retry_after: None,
        request_id: None,
    }
}

#[cfg(test)]
mod tests;

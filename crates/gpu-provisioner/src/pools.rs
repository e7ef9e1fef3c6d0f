//! Calls to the cloud: sends those that a planner chose, and has [`InstanceTracker`] record the answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloudprovider::{CloudCall, CloudProvider, Instance, InstanceTracker, ProviderError, Recorded};
use jiff::Timestamp;
use tokio::sync::Notify;

/// The cloud, and everything known of it.
#[derive(Debug)]
pub struct Pools {
    provider: Arc<dyn CloudProvider>,
    tracker: Mutex<InstanceTracker>,
    listing_wanted: Notify,
}

impl Pools {
    /// A cloud of which nothing is known yet.
    #[must_use]
    pub fn new(provider: Arc<dyn CloudProvider>) -> Self {
        Self {
            provider,
            tracker: Mutex::default(),
            listing_wanted: Notify::new(),
        }
    }

    /// Looks at the tracker; asks for a listing if a new claim wants one.
    pub fn observe<T>(&self, look: impl FnOnce(&mut InstanceTracker) -> T) -> T {
        let mut tracker = self.tracker();
        let seen = look(&mut tracker);
        if tracker.take_listing_wanted() {
            self.listing_wanted.notify_one();
        }
        seen
    }

    /// Forgets a claim that is gone.
    pub fn forget(&self, name: &str) {
        self.tracker().forget(name);
    }

    /// Every instance that exists, and the time at which each was first listed.
    #[must_use]
    pub fn all(&self) -> (Vec<Arc<Instance>>, BTreeMap<String, Timestamp>) {
        let tracker = self.tracker();
        (tracker.instances(), tracker.first_seen().clone())
    }

    /// Waits until a new claim asks for a listing.
    pub async fn wanted(&self) {
        self.listing_wanted.notified().await;
    }

    /// Lists every instance. Returns the names of those that are news.
    ///
    /// # Errors
    /// The provider's; nothing is recorded then.
    pub async fn refresh(&self) -> Result<Vec<String>, ProviderError> {
        let started = Timestamp::now();
        let instances = self.provider.list().await?;
        Ok(self.tracker().on_list(started, instances))
    }

    /// Sends one call and the read that its answer may require. Returns true if the next plan may differ.
    ///
    /// # Errors
    /// The provider's, after it was recorded.
    pub async fn carry_out(&self, call: &CloudCall) -> Result<bool, ProviderError> {
        let recorded = self.send(call).await;
        match &recorded.follow_up {
            None => recorded.result,
            Some(read) => {
                let read = self.send(read).await.result;
                recorded.and(read)
            }
        }
    }

    async fn send(&self, call: &CloudCall) -> Recorded {
        let started = Timestamp::now();
        match call {
            CloudCall::Read { name } => {
                let answer = self.provider.get(name).await;
                self.tracker().on_read(started, name, answer)
            }
            CloudCall::Create(spec) => {
                let answer = self.provider.create(spec).await;
                self.tracker().on_create(Timestamp::now(), spec, answer)
            }
            CloudCall::Delete { name, version } => {
                let answer = self.provider.delete(name, version.as_deref()).await;
                self.tracker()
                    .on_delete((started, Timestamp::now()), name, answer)
            }
            CloudCall::Abort { name } => {
                let answer = self.provider.abort(name).await;
                self.tracker().on_abort(Timestamp::now(), name, answer)
            }
            CloudCall::ReadOperation { name, url } => {
                let answer = self.provider.operation(url).await;
                self.tracker().on_operation(name, answer)
            }
        }
    }

    fn tracker(&self) -> MutexGuard<'_, InstanceTracker> {
        // Every update leaves the tracker whole, so a panic elsewhere does not spoil it.
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The cloud with its tracker: sends the calls that a planner chose, and has [`InstanceTracker`] record the answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloudprovider::{CloudCall, CloudProvider, InstanceTracker, ProviderError, Recorded};
use operator_runtime::clock;
use tokio::sync::Notify;

/// A cloud and the knowledge about its instances.
#[derive(Debug)]
pub(crate) struct TrackedCloud {
    provider: Arc<dyn CloudProvider>,
    tracker: Mutex<InstanceTracker>,
    listing_wanted: Notify,
}

impl TrackedCloud {
    /// A cloud without any knowledge yet.
    pub(crate) fn new(provider: Arc<dyn CloudProvider>) -> Self {
        Self {
            provider,
            tracker: Mutex::default(),
            listing_wanted: Notify::new(),
        }
    }

    /// Reads the tracker. Requests a listing if a new claim wants one.
    pub(crate) fn observe<T>(&self, read: impl FnOnce(&mut InstanceTracker) -> T) -> T {
        let mut tracker = self.tracker();
        let seen = read(&mut tracker);
        if tracker.take_listing_wanted() {
            self.listing_wanted.notify_one();
        }
        seen
    }

    /// Forgets a claim that is gone.
    pub(crate) fn forget(&self, name: &str) {
        self.tracker().forget(name);
    }

    /// Waits until a new claim requests a listing.
    pub(crate) async fn listing_wanted(&self) {
        self.listing_wanted.notified().await;
    }

    /// Lists every instance. Returns the names of those that are news.
    ///
    /// # Errors
    /// The provider's; nothing is recorded then.
    pub(crate) async fn list(&self) -> Result<Vec<String>, ProviderError> {
        let started = clock::steady();
        let instances = self.provider.list().await?;
        Ok(self.tracker().on_list(started, instances))
    }

    /// Sends one call and the read that its answer may require. Returns true if the next plan may differ.
    ///
    /// # Errors
    /// The provider's, after it was recorded.
    pub(crate) async fn call(&self, call: &CloudCall) -> Result<bool, ProviderError> {
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
        let started = clock::steady();
        match call {
            CloudCall::Read { name } => {
                let answer = self.provider.get(name).await;
                self.tracker().on_read(started, name, answer)
            }
            CloudCall::Create(spec) => {
                let answer = self.provider.create(spec).await;
                self.tracker().on_create(clock::steady(), spec, answer)
            }
            CloudCall::Delete { name, version } => {
                let answer = self.provider.delete(name, version.as_deref()).await;
                self.tracker().on_delete((started, clock::steady()), name, answer)
            }
            CloudCall::Abort { name } => {
                let answer = self.provider.abort(name).await;
                self.tracker().on_abort(clock::steady(), name, answer)
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

//! The cloud with its tracker: sends the calls that a planner chose, and has [`InstanceTracker`] record the answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloudprovider::{CloudCall, CloudProvider, ErrorClass, InstanceTracker, ProviderError, Recorded};
use jiff::Timestamp;
use operator_runtime::clock;
use tokio::sync::Notify;

/// A cloud and the knowledge about its instances.
#[derive(Debug)]
pub(crate) struct TrackedCloud {
    provider: Arc<dyn CloudProvider>,
    tracker: Mutex<InstanceTracker>,
    listing_wanted: Notify,
    quota_refused: Notify,
}

impl TrackedCloud {
    /// A cloud without any knowledge yet.
    pub(crate) fn new(provider: Arc<dyn CloudProvider>) -> Self {
        Self {
            provider,
            tracker: Mutex::default(),
            listing_wanted: Notify::new(),
            quota_refused: Notify::new(),
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

    /// Waits until the cloud refuses a launch for a quota.
    pub(crate) async fn quota_refused(&self) {
        self.quota_refused.notified().await;
    }

    /// The cloud itself, for calls that concern no instance.
    pub(crate) fn provider(&self) -> &dyn CloudProvider {
        self.provider.as_ref()
    }

    /// Lists every instance. Returns the names of those that are news.
    ///
    /// # Errors
    /// The provider's; nothing is recorded then.
    pub(crate) async fn list(&self) -> Result<Vec<String>, ProviderError> {
        let started = clock::steady();
        let instances = self.provider.list().await?;
        Ok(self.recorded(|tracker| tracker.on_list(started, instances)))
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
                self.recorded(|tracker| tracker.on_read(started, name, answer))
            }
            CloudCall::Create(spec) => {
                let answer = self.provider.create(spec).await;
                self.recorded(|tracker| tracker.on_create(clock::steady(), spec, answer))
            }
            CloudCall::Delete { name, version } => {
                let answer = self.provider.delete(name, version.as_deref()).await;
                self.recorded(|tracker| tracker.on_delete((started, clock::steady()), name, answer))
            }
            CloudCall::Abort { name } => {
                let answer = self.provider.abort(name).await;
                self.recorded(|tracker| tracker.on_abort(clock::steady(), name, answer))
            }
            CloudCall::ReadOperation { name, url } => {
                let answer = self.provider.operation(url).await;
                self.recorded(|tracker| tracker.on_operation(name, answer))
            }
        }
    }

    /// Records an answer, and reports a new refusal for a quota.
    fn recorded<T>(&self, record: impl FnOnce(&mut InstanceTracker) -> T) -> T {
        let mut tracker = self.tracker();
        let before = last_quota_refusal(&tracker);
        let result = record(&mut tracker);
        if last_quota_refusal(&tracker) > before {
            self.quota_refused.notify_one();
        }
        result
    }

    fn tracker(&self) -> MutexGuard<'_, InstanceTracker> {
        // Every update leaves the tracker whole, so a panic elsewhere does not spoil it.
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time of the last refusal for a quota.
fn last_quota_refusal(tracker: &InstanceTracker) -> Option<Timestamp> {
    let all = tracker.refused_offerings().iter();
    let of_quota = all.filter(|(_, refusal)| refusal.error.class == ErrorClass::Quota);
    of_quota.map(|(_, refusal)| refusal.at).max()
}

//! Quota and restrictions of the subscription, as gpu-provisioner publishes them in a ConfigMap. Its watch keeps the last record.
//!
//! They are hints: without the ConfigMap, or with one that cannot be read, everything is asked for as if they were unknown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kaito_api::Workspace;
use kaito_api::capacity::{CAPACITY_KEY, CapacityRecord};
use kaito_api::workspace_status::WorkspaceState;
use operator_runtime::{Cache, Change, ConfigMapName, Enqueuer, Key, Runtime, Tasks};
use tokio_util::sync::CancellationToken;

use crate::strip::identity;

/// Longest time for which a new replica waits for the record.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last record; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedCapacity {
    record: Arc<Mutex<Option<Arc<CapacityRecord>>>>,
    cache: Option<Cache<ConfigMap>>,
}

impl SharedCapacity {
    /// Starts the watch of the ConfigMap. A change enqueues the Workspaces that may still ask for nodes.
    pub(crate) fn watch(
        runtime: &Runtime,
        tasks: &mut Tasks,
        config_map: &ConfigMapName,
        workspaces: &Cache<Workspace>,
        enqueuer: &Enqueuer,
    ) -> Self {
        let watch = runtime.watch_one(&config_map.namespace, &config_map.name, strip);
        let shared = Self {
            record: Arc::default(),
            cache: Some(watch.cache()),
        };
        let (own, workspaces, enqueuer) = (shared.clone(), workspaces.clone(), enqueuer.clone());
        let watch = watch.run(tasks.token(), move |change: &Change<ConfigMap>| {
            own.take(change.new.as_deref());
            for workspace in workspaces.all().iter().filter(|workspace| is_waiting(workspace)) {
                enqueuer.enqueue(Key::of(workspace.as_ref()));
            }
        });
        tasks.spawn("capacity", watch);
        shared
    }

    /// Waits until the ConfigMap was looked up, but not for long: nothing depends on it.
    pub(crate) async fn ready(&self, token: &CancellationToken) {
        if let Some(cache) = &self.cache {
            tokio::select! {
                () = cache.ready() => {}
                () = token.cancelled() => {}
                () = tokio::time::sleep(PATIENCE) => {}
            }
        }
    }

    /// Returns the last record.
    pub(crate) fn get(&self) -> Option<Arc<CapacityRecord>> {
        self.lock().clone()
    }

    fn take(&self, config_map: Option<&ConfigMap>) {
        let data = config_map.and_then(|found| found.data.as_ref());
        let record = data.map(CapacityRecord::parse);
        let record = record.and_then(|record| match record {
            Ok(record) => Some(Arc::new(record)),
            Err(error) => {
                tracing::warn!(%error, "failed to read quota and restrictions; nodes are asked for without them");
                None
            }
        });
        *self.lock() = record;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<CapacityRecord>>> {
        // Every update replaces the value as a whole, so a panic elsewhere does not spoil it.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Strips the ConfigMap to the record.
fn strip(config_map: &mut ConfigMap) {
    let mut data = config_map.data.take();
    if let Some(data) = &mut data {
        data.retain(|key, _| key == CAPACITY_KEY);
    }
    *config_map = ConfigMap {
        metadata: identity(&mut config_map.metadata),
        data,
        ..ConfigMap::default()
    };
}

/// Returns true if the Workspace may still ask for nodes.
fn is_waiting(workspace: &Workspace) -> bool {
    let state = workspace.status.as_ref().and_then(|status| status.state);
    matches!(state, None | Some(WorkspaceState::Pending)) && !workspace.is_terminating()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_the_last_that_can_be_read() {
        let shared = SharedCapacity::default();
        assert_eq!(shared.get(), None);
        let record = CapacityRecord {
            region: "eastus2".to_owned(),
            ..CapacityRecord::default()
        };
        let mut config_map = ConfigMap {
            data: Some(record.data()),
            ..ConfigMap::default()
        };
        if let Some(data) = &mut config_map.data {
            data.insert("region".to_owned(), "for the policy".to_owned());
        }
        strip(&mut config_map);
        assert_eq!(
            config_map.data.as_ref().map(std::collections::BTreeMap::len),
            Some(1)
        );
        shared.take(Some(&config_map));
        assert_eq!(shared.get().as_deref(), Some(&record));
        config_map.data = Some([(CAPACITY_KEY.to_owned(), "garbage".to_owned())].into());
        shared.take(Some(&config_map));
        assert_eq!(shared.get(), None);
        shared.take(None);
        assert_eq!(shared.get(), None);
    }
}

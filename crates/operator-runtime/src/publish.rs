//! A ConfigMap that a program publishes for people and for other programs, written only when its content changes.
//!
//! The chart creates it: RBAC can restrict a patch by name, but not a creation.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};

use crate::config_map_name::ConfigMapName;
use crate::error::Error;
use crate::fence::Fence;
use crate::runtime::Runtime;

/// Longest time of one write.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes one ConfigMap under the program's field manager, while the program leads.
pub struct ConfigMapPublisher {
    api: Api<ConfigMap>,
    name: String,
    program: &'static str,
    fence: Fence,
    /// Content of the last write that succeeded.
    published: Mutex<Option<BTreeMap<String, String>>>,
}

impl std::fmt::Debug for ConfigMapPublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigMapPublisher")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ConfigMapPublisher {
    /// Prepares the writes of an existing ConfigMap.
    #[must_use]
    pub fn new(runtime: &Runtime, config_map: &ConfigMapName) -> Self {
        Self {
            api: Api::namespaced(runtime.client.clone(), &config_map.namespace),
            name: config_map.name.clone(),
            program: runtime.program,
            fence: runtime.fence.clone(),
            published: Mutex::default(),
        }
    }

    /// Writes the content, unless it is what this process wrote last. Returns true if it wrote.
    ///
    /// # Errors
    /// Fails if this replica does not lead, or the API server refuses the write or does not respond.
    pub async fn publish(&self, data: &BTreeMap<String, String>) -> Result<bool, Error> {
        if self.published().as_ref() == Some(data) {
            return Ok(false);
        }
        let what = || format!("publish ConfigMap {}", self.name);
        let Some(permit) = self.fence.permit() else {
            return Err(Error::NotLeader { what: what() });
        };
        let limit = permit.left.map_or(TIMEOUT, |left| left.min(TIMEOUT));
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name}, "data": data,
        });
        let params = PatchParams::apply(self.program).force();
        let patch = Patch::Apply(&object);
        let write = self.api.patch(&self.name, &params, &patch);
        match tokio::time::timeout(limit, write).await {
            Ok(Ok(_)) => {
                *self.published() = Some(data.clone());
                Ok(true)
            }
            Ok(Err(error)) => Err(Error::from_kube(what(), error)),
            Err(_) => Err(Error::Timeout { what: what() }),
        }
    }

    fn published(&self) -> std::sync::MutexGuard<'_, Option<BTreeMap<String, String>>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Deletion: finalizers, graceful deletion of pods, evictions.

use plan::{Kind, ObjectRef, Propagation};
use serde_json::{Value, json};

use super::{ApiError, ApiServer, is_deleting, shown};
use crate::json;

/// Finalizer that makes an object wait for its dependents.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

impl ApiServer {
    /// Deletes an object; `uid` names exactly the one that is meant.
    ///
    /// # Errors
    /// If it does not exist, or has another UID.
    pub fn delete(
        &mut self,
        actor: &'static str,
        key: &ObjectRef,
        uid: Option<&str>,
        propagation: Propagation,
        grace: Option<u32>,
    ) -> Result<(), ApiError> {
        let stored = self.found(key)?;
        if uid.is_some_and(|uid| uid != json::text(&stored.value, &["metadata", "uid"])) {
            return Err(ApiError::Conflict(format!("{}: another uid", shown(key))));
        }
        if is_deleting(&stored.value) {
            self.shorten_grace(actor, key, grace);
            return Ok(());
        }
        let mut value = (*stored.value).clone();
        if propagation == Propagation::Foreground {
            let mut finalizers = json::list(&value, &["metadata", "finalizers"]).to_vec();
            finalizers.push(json!(FOREGROUND));
            json::set(&mut value, &["metadata", "finalizers"], Value::Array(finalizers));
        }
        let bound = key.kind == Kind::Pod && !json::text(&value, &["spec", "nodeName"]).is_empty();
        let graceful = bound && grace != Some(0);
        if !graceful && json::list(&value, &["metadata", "finalizers"]).is_empty() {
            self.vanish(actor, key);
            return Ok(());
        }
        json::set(
            &mut value,
            &["metadata", "deletionTimestamp"],
            json::stamp(self.now),
        );
        let seconds = if key.kind == Kind::Pod {
            grace.unwrap_or(30)
        } else {
            0
        };
        json::set(
            &mut value,
            &["metadata", "deletionGracePeriodSeconds"],
            json!(seconds),
        );
        let owners = stored.owners;
        self.store(actor, "delete", key, value, owners);
        Ok(())
    }

    /// Checks the precondition of a deletion on the version, if it has one.
    ///
    /// # Errors
    /// If the object does not exist, or has another version.
    pub fn expect_version(&self, key: &ObjectRef, version: Option<&str>) -> Result<(), ApiError> {
        let stored = self.found(key)?;
        let current = json::text(&stored.value, &["metadata", "resourceVersion"]);
        if version.is_some_and(|version| version != current) {
            return Err(ApiError::Conflict(format!("{}: another version", shown(key))));
        }
        Ok(())
    }

    /// Evicts a pod, unless a budget holds it.
    ///
    /// # Errors
    /// If it does not exist, has another UID, or a budget holds it.
    pub fn evict(
        &mut self,
        actor: &'static str,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<(), ApiError> {
        if self.budgets.contains(&(namespace.to_owned(), name.to_owned())) {
            return Err(ApiError::Refused(format!(
                "disruption budget of pod {namespace}/{name}"
            )));
        }
        let key = super::key(Kind::Pod, namespace, name);
        self.delete(actor, &key, Some(uid), Propagation::Background, None)
    }

    /// Removes an object at once, in spite of its finalizers, as a kubelet does at the end.
    pub fn vanish(&mut self, actor: &'static str, key: &ObjectRef) {
        if self.objects.remove(key).is_some() {
            self.version += 1;
            self.events.push(super::Event {
                key: key.clone(),
                value: None,
                version: self.version,
            });
            self.note(actor, "gone", key);
        }
    }

    fn shorten_grace(&mut self, actor: &'static str, key: &ObjectRef, grace: Option<u32>) {
        if key.kind == Kind::Pod && grace == Some(0) {
            self.vanish(actor, key);
        }
    }
}

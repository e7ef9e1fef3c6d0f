//! Server-side apply with force, on the object and on its status.

use std::collections::BTreeMap;

use plan::ObjectRef;
use serde_json::{Map, Value, json};

use super::fields::{self, FieldSet};
use super::{ApiError, ApiServer, Stored, admission, defaults, is_deleting, shown};
use crate::json;

impl ApiServer {
    /// Applies an object. Fields that `actor` set before and does not set now are removed.
    ///
    /// # Errors
    /// If the result would be invalid, or the UID is another object's, or the version another one.
    pub fn apply(&mut self, actor: &'static str, key: &ObjectRef, value: &Value) -> Result<(), ApiError> {
        if let Some((code, message)) = self.denials.get(&key.kind) {
            return Err(ApiError::Denied(*code, message.clone()));
        }
        let uid = json::text(value, &["metadata", "uid"]).to_owned();
        let Some(stored) = self.objects.get(key).cloned() else {
            return self.create_applied(actor, key, value, &uid);
        };
        if !uid.is_empty() && uid != json::text(&stored.value, &["metadata", "uid"]) {
            return Err(ApiError::Conflict(format!("{}: another uid", shown(key))));
        }
        let version = json::text(value, &["metadata", "resourceVersion"]);
        if !version.is_empty() && version != json::text(&stored.value, &["metadata", "resourceVersion"]) {
            return Err(ApiError::Conflict(format!("{}: another version", shown(key))));
        }
        let applied = fields::configuration(value);
        let (mut merged, owners) = merged(actor, &stored, &applied);
        defaults::fill(key.kind, &mut merged);
        admission::check_update(key.kind, &stored.value, &merged)?;
        self.replace(actor, "apply", key, &stored, merged, owners);
        Ok(())
    }

    /// Applies the status of an object; fields in `status` of other actors stay.
    ///
    /// # Errors
    /// If the object does not exist, or has another UID.
    pub fn apply_status(
        &mut self,
        actor: &'static str,
        key: &ObjectRef,
        uid: &str,
        status: &Value,
    ) -> Result<(), ApiError> {
        let stored = self.found(key)?;
        if uid != json::text(&stored.value, &["metadata", "uid"]) {
            return Err(ApiError::Conflict(format!("{}: another uid", shown(key))));
        }
        let applied = json::without_nulls(json!({ "status": status }));
        let actor_status = status_owner(actor);
        let (merged, owners) = merged(actor_status, &stored, &applied);
        self.replace(actor, "status", key, &stored, merged, owners);
        Ok(())
    }

    /// Replaces the status of an object, as the cluster's own controllers do.
    ///
    /// # Errors
    /// If the object does not exist.
    pub fn put_status(
        &mut self,
        actor: &'static str,
        key: &ObjectRef,
        status: Value,
    ) -> Result<(), ApiError> {
        let stored = self.found(key)?;
        let mut value = (*stored.value).clone();
        json::set(&mut value, &["status"], json::without_nulls(status));
        let owners = stored.owners.clone();
        self.replace(actor, "status", key, &stored, value, owners);
        Ok(())
    }

    fn create_applied(
        &mut self,
        actor: &'static str,
        key: &ObjectRef,
        value: &Value,
        uid: &str,
    ) -> Result<(), ApiError> {
        if !uid.is_empty() {
            return Err(ApiError::Conflict(format!(
                "{}: uid given and object gone",
                shown(key)
            )));
        }
        let mut value = value.clone();
        json::remove(&mut value, &["status"]);
        self.create(actor, key, value)
    }

    // An unchanged object is not stored; the generation counts changes outside status and metadata.
    pub(super) fn replace(
        &mut self,
        actor: &'static str,
        verb: &'static str,
        key: &ObjectRef,
        before: &Stored,
        mut value: Value,
        owners: BTreeMap<&'static str, FieldSet>,
    ) {
        if value == *before.value {
            if let Some(stored) = self.objects.get_mut(key) {
                stored.owners = owners;
            }
            return;
        }
        if verb != "status" && wanted(&value) != wanted(&before.value) {
            let generation = json::number(&before.value, &["metadata", "generation"]).unwrap_or(1);
            json::set(&mut value, &["metadata", "generation"], json!(generation + 1));
        }
        let done = is_deleting(&value) && json::list(&value, &["metadata", "finalizers"]).is_empty();
        if done && key.kind != plan::Kind::Pod {
            self.objects.remove(key);
            self.version += 1;
            self.events.push(super::Event {
                key: key.clone(),
                value: None,
                version: self.version,
            });
            self.note(actor, "gone", key);
        } else {
            self.store(actor, verb, key, value, owners);
        }
    }
}

fn merged(
    actor: &'static str,
    stored: &Stored,
    applied: &Value,
) -> (Value, BTreeMap<&'static str, FieldSet>) {
    let mut owners = stored.owners.clone();
    let new = fields::fields(applied);
    let old = owners.insert(actor, new.clone()).unwrap_or_default();
    let kept = owners.values().fold(FieldSet::new(), |all, set| &all | set);
    let mut value = (*stored.value).clone();
    fields::remove(&mut value, &(&old - &kept), &kept);
    // Force: an actor that set another value loses the field.
    for (other, set) in &mut owners {
        if *other != actor {
            set.retain(|path| !new.contains(path) || at(&stored.value, path) == at(applied, path));
        }
    }
    fields::merge(&mut value, applied);
    (value, owners)
}

fn at<'a>(value: &'a Value, path: &[fields::FieldStep]) -> Option<&'a Value> {
    // Only plain members matter for ownership here; items of keyed lists are compared by their path.
    path.iter().try_fold(value, |value, step| match step {
        fields::FieldStep::Field(field) => value.get(field),
        fields::FieldStep::Item(_) => None,
    })
}

fn status_owner(actor: &'static str) -> &'static str {
    match actor {
        kaito_api::labels::WORKSPACE_CONTROLLER => "workspace-controller/status",
        kaito_api::labels::GPU_PROVISIONER => "gpu-provisioner/status",
        other => other,
    }
}

fn wanted(value: &Value) -> Map<String, Value> {
    let mut map = value.as_object().cloned().unwrap_or_default();
    map.remove("metadata");
    map.remove("status");
    map
}

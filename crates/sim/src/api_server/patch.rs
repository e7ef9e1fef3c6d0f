//! JSON merge patch with an optimistic lock, and the patch of a finalizer.

use plan::ObjectRef;
use serde_json::{Value, json};

use super::fields::FieldSet;
use super::{ApiError, ApiServer, admission, shown};
use crate::json;

impl ApiServer {
    /// Applies a merge patch, unless the object has changed since `resource_version`.
    ///
    /// # Errors
    /// If the object does not exist, has changed, or would be invalid.
    pub fn merge_patch(
        &mut self,
        actor: &'static str,
        key: &ObjectRef,
        resource_version: &str,
        body: &Value,
    ) -> Result<(), ApiError> {
        let stored = self.found(key)?;
        if resource_version != json::text(&stored.value, &["metadata", "resourceVersion"]) {
            return Err(ApiError::Conflict(format!("{} has changed", shown(key))));
        }
        let mut value = (*stored.value).clone();
        let mut body = body.clone();
        json::remove(&mut body, &["status"]);
        patch(&mut value, &body);
        admission::check_update(key.kind, &stored.value, &value)?;
        let owners = disowned(&stored.owners, &body);
        self.replace(actor, "patch", key, &stored, value, owners);
        Ok(())
    }

    /// Changes an object without a precondition, as the cluster's own parts do.
    ///
    /// # Errors
    /// If the object does not exist, or would be invalid.
    pub fn edit(
        &mut self,
        actor: &'static str,
        key: &ObjectRef,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), ApiError> {
        let stored = self.found(key)?;
        let mut value = (*stored.value).clone();
        change(&mut value);
        admission::check_update(key.kind, &stored.value, &value)?;
        let owners = stored.owners.clone();
        self.replace(actor, "patch", key, &stored, value, owners);
        Ok(())
    }

    /// Adds or removes one finalizer of the object with this UID, unless that is done already.
    ///
    /// # Errors
    /// If the object does not exist, has another UID, or is terminating and the finalizer is new.
    pub fn set_finalizer(
        &mut self,
        actor: &'static str,
        key: &ObjectRef,
        uid: &str,
        finalizer: &str,
        wanted: bool,
    ) -> Result<(), ApiError> {
        let stored = self.found(key)?;
        if uid != json::text(&stored.value, &["metadata", "uid"]) {
            return Err(ApiError::Conflict(format!("{}: another uid", shown(key))));
        }
        let mut list = json::list(&stored.value, &["metadata", "finalizers"]).to_vec();
        list.retain(|item| item.as_str() != Some(finalizer));
        if wanted {
            list.push(json!(finalizer));
        }
        let mut value = (*stored.value).clone();
        if list.is_empty() {
            json::remove(&mut value, &["metadata", "finalizers"]);
        } else if !same_items(&list, json::list(&value, &["metadata", "finalizers"])) {
            json::set(&mut value, &["metadata", "finalizers"], Value::Array(list));
        }
        admission::check_update(key.kind, &stored.value, &value)?;
        let owners = stored.owners.clone();
        self.replace(actor, "patch", key, &stored, value, owners);
        Ok(())
    }
}

fn same_items(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().all(|item| b.contains(item))
}

fn patch(value: &mut Value, body: &Value) {
    let Value::Object(fields) = body else {
        *value = body.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    if let Value::Object(map) = value {
        for (field, change) in fields {
            if change.is_null() {
                map.remove(field);
            } else {
                patch(map.entry(field.clone()).or_insert(Value::Null), change);
            }
        }
    }
}

// Actors that apply lose the fields that a patch sets.
fn disowned(
    owners: &std::collections::BTreeMap<&'static str, FieldSet>,
    body: &Value,
) -> std::collections::BTreeMap<&'static str, FieldSet> {
    let touched = super::fields::fields(body);
    owners
        .iter()
        .map(|(owner, set)| (*owner, set - &touched))
        .collect()
}

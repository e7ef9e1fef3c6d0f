//! Memory of instance types that cannot be had, shared between the watches that record it and the reconciles that read it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kaito_api::ClaimObject;
use operator_runtime::{Change, Watched};
use workspace_plan::{Offer, UnavailableType, UnavailableTypes};

/// Memory of all Workspaces; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedUnavailableTypes(Arc<Mutex<UnavailableTypes>>);

impl SharedUnavailableTypes {
    /// Records one change of a claim.
    pub(crate) fn record<K: ClaimObject + Watched>(&self, change: &Change<K>, now: Timestamp) {
        let claim = |object: &Option<Arc<K>>| object.as_ref().map(|object| Arc::clone(object).claim());
        let (old, new) = (claim(&change.old), claim(&change.new));
        self.lock().record(old.as_ref(), new.as_ref(), now);
    }

    /// Records an Event about a claim with this offer.
    pub(crate) fn record_event(&self, event: &Event, offer: Offer, now: Timestamp) {
        self.lock().record_event(event, offer, now);
    }

    /// Returns the offers that are left out now.
    pub(crate) fn all(&self, now: Timestamp) -> Vec<Arc<UnavailableType>> {
        self.lock().all(now)
    }

    fn lock(&self) -> MutexGuard<'_, UnavailableTypes> {
        // Every update leaves the map whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The catalog that is served, with its recent changes.
//!
//! One writer publishes, many readers look. A reader never sees half of a catalog. Knows no files and no transport.

use std::collections::VecDeque;
use std::sync::Arc;

use preset_catalog::{Catalog, FileReport};
use preset_registry_api::v1;
use prost::Message as _;
use tokio::sync::watch;

use crate::catalog_delta;

/// Changes that are kept for subscribers that have not received them. A subscriber that needs an older one receives a new
/// snapshot, so a slow reader costs no memory.
const MAX_CHANGES: usize = 8;
/// Most bytes of a change. For a larger one, a new snapshot is sent in chunks.
const MAX_DELTA_BYTES: usize = 1 << 20;

/// The difference of two revisions.
#[derive(Debug)]
pub(crate) struct CatalogChange {
    /// The number of the later revision.
    pub(crate) number: u64,
    /// The version of the later catalog.
    pub(crate) version: String,
    /// Absent if it is too large to send.
    pub(crate) delta: Option<v1::CatalogDelta>,
}

/// The state of users' files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserFiles {
    /// In name order.
    pub(crate) reports: Vec<FileReport>,
    /// The error, if none can be read.
    pub(crate) error: Option<String>,
}

/// One version of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct CatalogRevision {
    /// Counts the revisions. A version can come back, a number cannot.
    pub(crate) number: u64,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) files: Arc<UserFiles>,
    changes: VecDeque<Arc<CatalogChange>>,
}

impl CatalogRevision {
    /// The change after the revision of that number, if it is kept.
    pub(crate) fn change_after(&self, number: u64) -> Option<&Arc<CatalogChange>> {
        self.changes.iter().find(|change| change.number == number + 1)
    }
}

/// Holds the current revision.
#[derive(Debug)]
pub(crate) struct CatalogStore {
    current: watch::Sender<Arc<CatalogRevision>>,
}

impl CatalogStore {
    pub(crate) fn new(catalog: Catalog) -> Self {
        let first = CatalogRevision {
            number: 0,
            catalog: Arc::new(catalog),
            files: Arc::default(),
            changes: VecDeque::new(),
        };
        Self {
            current: watch::Sender::new(Arc::new(first)),
        }
    }

    pub(crate) fn current(&self) -> Arc<CatalogRevision> {
        Arc::clone(&self.current.borrow())
    }

    /// A receiver of every revision from now on, or of the last of several in quick succession.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<CatalogRevision>> {
        self.current.subscribe()
    }

    /// Publishes a catalog. Returns true if it differs from the current one; only then are subscribers notified.
    pub(crate) fn publish(&self, catalog: Catalog, files: UserFiles) -> bool {
        let old = self.current();
        let changed = old.catalog.version() != catalog.version();
        let mut next = CatalogRevision {
            files: Arc::new(files),
            ..CatalogRevision::clone(&old)
        };
        if changed {
            next.number += 1;
            next.changes
                .push_back(Arc::new(change(next.number, &old.catalog, &catalog)));
            while next.changes.len() > MAX_CHANGES {
                next.changes.pop_front();
            }
            next.catalog = Arc::new(catalog);
        }
        self.current.send_if_modified(|current| {
            *current = Arc::new(next);
            changed
        });
        changed
    }
}

fn change(number: u64, before: &Catalog, after: &Catalog) -> CatalogChange {
    let delta = catalog_delta::between(before, after);
    CatalogChange {
        number,
        version: after.version().to_owned(),
        delta: (delta.encoded_len() <= MAX_DELTA_BYTES).then_some(delta),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(name: usize) -> Catalog {
        let text = format!(
            "{{hub_id: acme/{name}, license: mit, architecture: A, weights: 1Gi, max_context_tokens: 1, \
             kv_bytes_per_token: 1}}"
        );
        let built_in = Catalog::embedded().unwrap();
        built_in.overlay([("a.yaml", text.as_str())]).unwrap().catalog
    }

    #[test]
    fn only_another_catalog_is_news() {
        let library = CatalogStore::new(catalog(0));
        let mut seen = library.subscribe();
        let files = UserFiles {
            error: Some("gone".to_owned()),
            ..UserFiles::default()
        };
        assert!(!library.publish(catalog(0), files.clone()));
        assert!(!seen.has_changed().unwrap());
        assert_eq!(
            *library.current().files,
            files,
            "the reports are new all the same"
        );
        assert!(library.publish(catalog(1), files));
        assert!(seen.has_changed().unwrap());
        assert_eq!(seen.borrow_and_update().number, 1);
    }

    #[test]
    fn old_changes_are_forgotten() {
        let library = CatalogStore::new(catalog(0));
        for name in 1..=20 {
            library.publish(catalog(name), UserFiles::default());
        }
        let current = library.current();
        assert_eq!(current.number, 20);
        assert!(current.change_after(11).is_none() && current.change_after(20).is_none());
        let change = current.change_after(12).unwrap();
        assert_eq!(
            (change.number, change.version.as_str()),
            (13, catalog(13).version())
        );
        assert_eq!(change.delta.as_ref().unwrap().removed, ["12"]);
    }
}

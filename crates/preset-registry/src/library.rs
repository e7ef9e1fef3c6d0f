//! The catalog that is being served, and how it came to be the one it is.
//!
//! One writer publishes, any number of readers look. Readers see a catalog whole or not at all. Knows no
//! files and no transport.

use std::collections::VecDeque;
use std::sync::Arc;

use preset_catalog::{Catalog, FileReport};
use preset_registry_api::v1;
use prost::Message as _;
use tokio::sync::watch;

use crate::delta;

/// Changes that are remembered for subscribers who have not been told them yet. Who needs more is sent everything
/// anew, so this bounds what a slow reader can make the server keep.
const REMEMBERED: usize = 8;
/// Larger changes are not told as changes but as a new snapshot, which is sent in pieces.
const MAX_DELTA_BYTES: usize = 1 << 20;

/// One change.
#[derive(Debug)]
pub(crate) struct Step {
    /// The number of the catalog that it leads to.
    pub(crate) number: u64,
    /// The version of that catalog.
    pub(crate) version: String,
    /// Absent when it is too large to be told.
    pub(crate) delta: Option<v1::CatalogDelta>,
}

/// What users' files contributed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserFiles {
    /// In name order.
    pub(crate) reports: Vec<FileReport>,
    /// Why none can be read.
    pub(crate) error: Option<String>,
}

/// The state at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Counts the catalogs; a version can come back, a number cannot.
    pub(crate) number: u64,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) files: Arc<UserFiles>,
    steps: VecDeque<Arc<Step>>,
}

impl Published {
    /// The change that follows the catalog of that number, if it is remembered.
    pub(crate) fn step_after(&self, number: u64) -> Option<&Arc<Step>> {
        self.steps.iter().find(|step| step.number == number + 1)
    }
}

/// Where the current state is found.
#[derive(Debug)]
pub(crate) struct Library {
    current: watch::Sender<Arc<Published>>,
}

impl Library {
    pub(crate) fn new(catalog: Catalog) -> Self {
        let first = Published {
            number: 0,
            catalog: Arc::new(catalog),
            files: Arc::default(),
            steps: VecDeque::new(),
        };
        Self {
            current: watch::Sender::new(Arc::new(first)),
        }
    }

    pub(crate) fn current(&self) -> Arc<Published> {
        Arc::clone(&self.current.borrow())
    }

    /// Sees every state from now on, or the last of several that follow quickly.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.current.subscribe()
    }

    /// Replaces the state. Subscribers hear of it only when the catalog differs. Returns whether it does.
    pub(crate) fn publish(&self, catalog: Catalog, files: UserFiles) -> bool {
        let old = self.current();
        let changed = old.catalog.version() != catalog.version();
        let mut next = Published {
            files: Arc::new(files),
            ..Published::clone(&old)
        };
        if changed {
            next.number += 1;
            next.steps
                .push_back(Arc::new(step(next.number, &old.catalog, &catalog)));
            while next.steps.len() > REMEMBERED {
                next.steps.pop_front();
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

fn step(number: u64, before: &Catalog, after: &Catalog) -> Step {
    let delta = delta::between(before, after);
    Step {
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
        let library = Library::new(catalog(0));
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
        let library = Library::new(catalog(0));
        for name in 1..=20 {
            library.publish(catalog(name), UserFiles::default());
        }
        let current = library.current();
        assert_eq!(current.number, 20);
        assert!(current.step_after(11).is_none() && current.step_after(20).is_none());
        let step = current.step_after(12).unwrap();
        assert_eq!((step.number, step.version.as_str()), (13, catalog(13).version()));
        assert_eq!(step.delta.as_ref().unwrap().removed, ["12"]);
    }
}

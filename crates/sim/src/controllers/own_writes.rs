//! Holds up a reconcile until the stores show what it wrote before, for a few seconds at most.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plan::{Kind, ObjectRef};

use crate::view::View;

/// How long a store may lag before it is used all the same.
const PATIENCE: SignedDuration = SignedDuration::from_secs(4);

/// By object, until when to wait, and up to which event each kind is to be shown.
#[derive(Clone, Debug, Default)]
pub struct OwnWrites(BTreeMap<ObjectRef, (Timestamp, Vec<(Kind, usize)>)>);

impl OwnWrites {
    /// A pass of this object has written.
    pub fn record(&mut self, key: &ObjectRef, now: Timestamp, wrote: Vec<(Kind, usize)>) {
        if !wrote.is_empty() {
            let until = now.saturating_add(PATIENCE).unwrap_or(now);
            self.0.insert(key.clone(), (until, wrote));
        }
    }

    /// Whether the stores show everything, or have had long enough to.
    pub fn are_visible(&mut self, key: &ObjectRef, now: Timestamp, view: &View) -> bool {
        let Some((until, wrote)) = self.0.get(key) else {
            return true;
        };
        let settled = now >= *until || wrote.iter().all(|(kind, index)| view.shows(*kind, *index));
        if settled {
            self.0.remove(key);
        }
        settled
    }
}

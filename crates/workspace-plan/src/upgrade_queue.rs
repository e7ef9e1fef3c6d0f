//! The queue of automatic upgrades: one model at a time in the whole cluster, and none after a failed one.
//!
//! The revision of an automatic upgrade carries a mark until its model serves. So the API server knows the one that is
//! under way, and a restart of this program changes nothing. The queue itself remembers only who waits, and a turn
//! whose mark the caches do not show yet. It is asked by one reconcile at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ControllerRevision;
use kaito_api::labels;

use crate::ledger::Wake;
use crate::metadata::{self, annotation, label};
use crate::upgrades::AutomaticUpgrades;

/// Time in which the queue fills after a start of the program, so that the first to ask is not the first to go.
const FILL: SignedDuration = SignedDuration::from_secs(30);
/// Time for which a turn is held whose mark the caches do not show: its write takes effect by then, or never.
const HOLD: SignedDuration = SignedDuration::from_mins(5);

/// A Workspace whose model may be upgraded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRequest {
    /// Namespace of the Workspace.
    pub namespace: String,
    /// Name of the Workspace.
    pub workspace: String,
    /// Time at which the revision that runs was recorded. The oldest goes first.
    pub recorded: Option<Timestamp>,
}

/// The answer to a Workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// It did not ask.
    #[default]
    None,
    /// It may be upgraded now.
    Yours,
    /// It waits for the window, which opens then.
    Closed(Option<Timestamp>),
    /// Another is upgraded; it may ask again then.
    Waits(Option<Timestamp>),
    /// The upgrade of another failed.
    Stopped,
}

impl Turn {
    /// The time at which the answer may change by itself.
    pub(crate) fn changes_at(&self) -> Option<Timestamp> {
        match self {
            Self::Closed(at) | Self::Waits(at) => *at,
            Self::None | Self::Yours | Self::Stopped => None,
        }
    }
}

/// An automatic upgrade whose model does not serve yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedUpgrade {
    /// Namespace of the Workspace.
    pub namespace: String,
    /// Name of the Workspace.
    pub workspace: String,
    /// UID of the Workspace.
    pub uid: String,
    /// Time at which the upgrade began.
    pub began: Timestamp,
}

impl UnfinishedUpgrade {
    /// Reads the mark of a revision; `None` without one.
    #[must_use]
    pub fn of(revision: &ControllerRevision) -> Option<Self> {
        let metadata = &revision.metadata;
        Some(Self {
            namespace: metadata.namespace.clone()?,
            workspace: label(metadata, labels::WORKSPACE)?.to_owned(),
            uid: metadata::controller(metadata)?.uid.clone(),
            began: annotation(metadata, labels::AUTOMATIC_UPGRADE)?.parse().ok()?,
        })
    }
}

type Name = (String, String);

/// The queue.
#[derive(Clone, Debug, Default)]
pub struct UpgradeQueue {
    /// Time of the first request.
    began: Option<Timestamp>,
    /// Workspaces that wait, with the time at which their revision was recorded.
    waiting: BTreeMap<Name, Option<Timestamp>>,
    /// The last turn, until the caches show its mark.
    granted: Option<(Name, Timestamp)>,
}

impl UpgradeQueue {
    /// Answers a Workspace. `unfinished` are the upgrades of all Workspaces that exist, as the caches show them.
    pub fn request(
        &mut self,
        settings: &AutomaticUpgrades,
        request: &TurnRequest,
        unfinished: &[UnfinishedUpgrade],
        now: Timestamp,
    ) -> Turn {
        let name = (request.namespace.clone(), request.workspace.clone());
        self.waiting.insert(name.clone(), request.recorded);
        let is_of =
            |name: &Name, other: &UnfinishedUpgrade| name.0 == other.namespace && name.1 == other.workspace;
        let is_over = |(holder, since): &(Name, Timestamp)| {
            now.duration_since(*since) >= HOLD || unfinished.iter().any(|other| is_of(holder, other))
        };
        if self.granted.as_ref().is_some_and(is_over) {
            self.granted = None;
        }
        let others = unfinished.iter().filter(|other| !is_of(&name, other));
        if let Some(first) = others.map(|other| other.began).min() {
            return match first.checked_add(settings.timeout) {
                Ok(fails) if now < fails => Turn::Waits(Some(fails)),
                _ => Turn::Stopped,
            };
        }
        let Some(closes) = settings.window.closes(now) else {
            return Turn::Closed(settings.window.opens_after(now));
        };
        let wait = |until: Option<Timestamp>| Turn::Waits(until.into_iter().chain([closes]).min());
        if let Some((holder, since)) = &self.granted
            && *holder != name
        {
            return wait(since.checked_add(HOLD).ok());
        }
        let filled = self.began.get_or_insert(now).checked_add(FILL).ok();
        if filled.is_some_and(|filled| now < filled) {
            return wait(filled);
        }
        // The others wait for the one that failed.
        let has_failed = unfinished.iter().any(|own| is_of(&name, own));
        let mut ahead = self.waiting.iter();
        if !has_failed && ahead.any(|(other, recorded)| (recorded, other) < (&request.recorded, &name)) {
            return wait(None);
        }
        self.granted = Some((name, now));
        Turn::Yours
    }

    /// Forgets a Workspace that waits no more, and returns those that may be next.
    ///
    /// A turn of its own stays held: its mark may be on its way into the caches.
    pub fn withdraw(&mut self, namespace: &str, workspace: &str) -> Vec<Wake> {
        let name = (namespace.to_owned(), workspace.to_owned());
        match self.waiting.remove(&name) {
            Some(_) => self.freed(),
            None => Vec::new(),
        }
    }

    /// Returns the Workspaces that wait. An upgrade has ended.
    #[must_use]
    pub fn freed(&self) -> Vec<Wake> {
        let wake = |(namespace, workspace): &Name| Wake {
            namespace: namespace.clone(),
            workspace: workspace.clone(),
            after: Duration::ZERO,
        };
        self.waiting.keys().map(wake).collect()
    }
}

#[cfg(test)]
mod tests;

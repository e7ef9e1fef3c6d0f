//! Commits at the heads of default branches, for presets of the catalog that are not pinned.
//!
//! Only names of the catalog are asked for, so the answers need no bound of their own. A commit that was read outlives a hub
//! that is down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hub_metadata::HubId;
use tokio::sync::Semaphore;

use super::fetch;
use super::freshness::freshness;
use super::http::Http;
use super::problem::{HubFailure, HubProblem};

/// Commits that are read concurrently.
const READING: usize = 4;
/// Time for one commit. A Workspace waits for it only before its first use.
const TIMEOUT: Duration = Duration::from_secs(8);

type Answer = Result<String, HubProblem>;
/// The answer about one model. It is locked during a read.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Answer)>>>;

/// The commits that were read.
#[derive(Debug)]
pub(super) struct Heads {
    slots: Mutex<BTreeMap<String, Slot>>,
    reading: Semaphore,
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            reading: Semaphore::new(READING),
        }
    }
}

impl Heads {
    /// Returns the commit of the model; the last one while the hub does not answer.
    pub(super) async fn head(&self, http: &Http, name: &str) -> Answer {
        let id = HubId::parse(name)?;
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(name.to_lowercase()).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some((since, answer)) = slot.as_ref()
            && since.elapsed() < freshness(answer)
        {
            return answer.clone();
        }
        let read = async {
            let _turn = self.reading.acquire().await.map_err(|_| HubProblem::Busy)?;
            Ok(fetch::info(http, &id).await?.revision.as_str().to_owned())
        };
        let answer = match tokio::time::timeout(TIMEOUT, read).await {
            Ok(answer) => answer,
            Err(_) => Err(HubProblem::from(HubFailure::TimedOut)),
        };
        if let Err(problem) = &answer {
            tracing::warn!(%id, %problem, "failed to read commit from the hub");
        }
        let before = slot.take().and_then(|(_, answer)| answer.ok());
        let answer = match (answer, before) {
            (Err(problem), Some(before)) if problem.is_transient() => Ok(before),
            (answer, _) => answer,
        };
        *slot = Some((Instant::now(), answer.clone()));
        answer
    }
}

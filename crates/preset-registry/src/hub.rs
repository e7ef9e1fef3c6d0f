//! Presets of models that are in no catalog, read from a model hub on request.
//!
//! Off unless an endpoint is given. Answers are kept for a while. Concurrent requests for one model share one read, which
//! continues without its client, so that the next request finds the answer.

mod disk_cache;
mod fetch;
mod freshness;
mod heads;
mod http;
mod options;
mod problem;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hub_metadata::{HubId, Sources};
use preset_catalog::Preset;
use telemetry::{Counter, Metrics};
use tokio::sync::Semaphore;

use disk_cache::DiskCache;
use freshness::freshness;
use heads::Heads;
use http::Http;
pub use options::{HubError, HubOptions};
use problem::HubFailure;
pub(crate) use problem::HubProblem;

/// Models that are read concurrently.
const READING: usize = 4;
/// Models that are read or queued.
const WAITING: usize = 64;
/// Time for one model, below the time limit of our own requests.
const TIMEOUT: Duration = Duration::from_secs(25);
/// Answers in memory.
const MAX_ANSWERS: usize = 1000;

type Answer = Result<Arc<Preset>, HubProblem>;
/// The answer about one model. It is locked during a read.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Answer)>>>;
type Held = tokio::sync::OwnedMutexGuard<Option<(Instant, Answer)>>;

/// A hub and its answers. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The endpoint without a slash at its end.
    endpoint: String,
    http: Http,
    cache: DiskCache,
    answers: Mutex<BTreeMap<String, Slot>>,
    heads: Heads,
    /// False if the hub is asked about models of the catalog only.
    serves_models: bool,
    reading: Semaphore,
    waiting: Arc<Semaphore>,
    lookups: Counter<1>,
}

impl Hub {
    /// Checks the options, and asks nothing yet. Registers `kaito_preset_registry_hub_lookups_total{result}`.
    pub(crate) fn new(options: HubOptions, metrics: &Metrics) -> Result<Self, HubError> {
        let http = Http::new(&options)?;
        Ok(Self(Arc::new(Inner {
            endpoint: http.endpoint(),
            http,
            cache: DiskCache::new(options.cache_dir),
            answers: Mutex::default(),
            heads: Heads::default(),
            serves_models: !options.commits_only,
            reading: Semaphore::new(READING),
            waiting: Arc::new(Semaphore::new(WAITING)),
            lookups: metrics.counter(
                "kaito_preset_registry_hub_lookups",
                "Lookups of models of the hub, by result",
                ["result"],
            ),
        })))
    }

    /// The URL of the hub.
    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// Reports whether models that are in no catalog are presets.
    pub(crate) fn serves_models(&self) -> bool {
        self.0.serves_models
    }

    /// Reads the commit at the head of a model's default branch; `None` if the hub has none to tell now.
    pub(crate) async fn head(&self, hub_id: &str) -> Option<String> {
        let answer = self.0.heads.head(&self.0.http, hub_id).await;
        let label = answer.as_ref().map_or_else(HubProblem::label, |_| "head");
        self.0.lookups.inc([label]);
        answer.ok()
    }

    /// Looks up the preset of a model.
    pub(crate) async fn preset(&self, name: &str) -> Answer {
        let answer = self.ask(name).await;
        if let Err(problem) = &answer {
            self.0.lookups.inc([problem.label()]);
        }
        answer
    }

    async fn ask(&self, name: &str) -> Answer {
        let id = HubId::parse(name)?;
        let slot = self.0.slot(&id).lock_owned().await;
        if let Some((since, answer)) = slot.as_ref()
            && since.elapsed() < freshness(answer)
        {
            self.0.note(answer, "remembered");
            return answer.clone();
        }
        let place = Arc::clone(&self.0.waiting)
            .try_acquire_owned()
            .map_err(|_| HubProblem::Busy)?;
        let inner = Arc::clone(&self.0);
        // A separate task continues when the client disconnects.
        let task = tokio::spawn(async move {
            let _place = place;
            inner.renew(&id, slot).await
        });
        task.await.unwrap_or_else(|error| {
            Err(HubProblem::from(HubFailure::Task {
                reason: error.to_string(),
            }))
        })
    }
}

impl Inner {
    async fn renew(&self, id: &HubId, mut slot: Held) -> Answer {
        let answer = match tokio::time::timeout(TIMEOUT, self.read(id)).await {
            Ok(answer) => answer,
            Err(_) => Err(HubProblem::from(HubFailure::TimedOut)),
        };
        let before = slot.take().and_then(|(_, answer)| answer.ok());
        let answer = self.or_before(id, answer, before).await;
        *slot = Some((Instant::now(), answer.clone()));
        answer
    }

    /// Replaces a transient failure by the preset that was known before.
    async fn or_before(&self, id: &HubId, answer: Answer, before: Option<Arc<Preset>>) -> Answer {
        let Err(problem) = &answer else {
            return answer;
        };
        tracing::warn!(%id, %problem, "failed to read preset from the hub");
        if !problem.is_transient() {
            return answer;
        }
        let known = match before {
            Some(preset) => Some(preset),
            None => self.kept(|cache, id| cache.latest(id), id).await,
        };
        let answer = known.map_or(answer, Ok);
        self.note(&answer, "stale");
        answer
    }

    fn note(&self, answer: &Answer, how: &'static str) {
        if answer.is_ok() {
            self.lookups.inc([how]);
        }
    }

    async fn read(&self, id: &HubId) -> Answer {
        let _turn = self.reading.acquire().await.map_err(|_| HubProblem::Busy)?;
        let info = fetch::info(&self.http, id).await?;
        let revision = info.revision.clone();
        let kept = self
            .kept(move |cache, id| cache.load(id, &revision), &info.id)
            .await;
        if let Some(preset) = kept {
            self.lookups.inc(["kept"]);
            return Ok(preset);
        }
        let sources = fetch::sources(&self.http, &info).await?;
        let preset = Arc::new(sources.preset()?);
        tracing::info!(%id, revision = sources.revision, "read model from the hub");
        self.lookups.inc(["read"]);
        let cache = self.cache.clone();
        // A lost cache entry only costs time.
        let _ = tokio::task::spawn_blocking(move || cache.save(&sources)).await;
        Ok(preset)
    }

    /// Loads a model from disk.
    async fn kept(
        &self,
        load: impl FnOnce(&DiskCache, &HubId) -> Option<Sources> + Send + 'static,
        id: &HubId,
    ) -> Option<Arc<Preset>> {
        let (cache, id) = (self.cache.clone(), id.clone());
        let sources = tokio::task::spawn_blocking(move || load(&cache, &id))
            .await
            .ok()??;
        sources.preset().ok().map(Arc::new)
    }

    fn slot(&self, id: &HubId) -> Slot {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_ANSWERS {
            // Drop the answers that no request waits for. They are on disk.
            answers.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(answers.entry(id.as_str().to_lowercase()).or_default())
    }
}

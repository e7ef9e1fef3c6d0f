//! Presets of models that are in no catalog, read from a model hub when somebody asks for one.
//!
//! Off unless an endpoint is given. Answers are kept for a while, concurrent questions for one model share one
//! reading, and a reading goes on when its client has left, so that the next one finds the answer.

mod fetch;
mod http;
mod problem;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hub_metadata::{HubId, Sources};
use preset_catalog::Preset;
use telemetry::{Counter, Metrics};
use tokio::sync::Semaphore;

pub use egress::BadEndpoint;
use http::Http;
use problem::HubFailure;
pub(crate) use problem::Problem;
use store::Store;

/// Models that are read at the same time.
const READING: usize = 4;
/// Models that are read or wait to be.
const WAITING: usize = 64;
/// Of all requests for one model, below the limit on a request of ours.
const TIMEOUT: Duration = Duration::from_secs(25);
/// How long it is believed that a model has not changed.
const FRESH: Duration = Duration::from_secs(600);
/// How long a refusal is believed: somebody may be mending it.
const REFUSED_FRESH: Duration = Duration::from_secs(30);
/// How long a hub that failed is left alone.
const FAILED_FRESH: Duration = Duration::from_secs(5);
/// Answers that are kept in memory.
const MAX_ANSWERS: usize = 1000;

/// Which hub is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// Where the hub is, such as `https://huggingface.co`.
    pub endpoint: String,
    /// A file with a token; read again for every request.
    pub token_file: Option<PathBuf>,
    /// PEM file of further authorities that the hub's certificate may be of.
    pub ca_file: Option<PathBuf>,
    /// Where answers are kept across restarts.
    pub cache_dir: Option<PathBuf>,
    /// Hosts that the hub may redirect to, such as `*.hf.co`.
    pub redirect_hosts: Vec<String>,
    /// The hub's name may lead to an address that is not public.
    pub allow_private_endpoint: bool,
}

/// Options with which no hub can be asked.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The endpoint is none.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// The token would be sent without encryption.
    #[error(
        "--hub-token-file needs an https:// endpoint: without encryption everybody on the way reads the token"
    )]
    ExposedToken,
    /// The client cannot be created, mostly for the file of authorities.
    #[error("failed to create a client of the hub")]
    Client(#[from] egress::Error),
}

type Answer = Result<Arc<Preset>, Problem>;
/// Held while the model is read.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Answer)>>>;
type Held = tokio::sync::OwnedMutexGuard<Option<(Instant, Answer)>>;

/// A hub and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The endpoint without a slash at its end.
    endpoint: String,
    http: Http,
    store: Store,
    answers: Mutex<BTreeMap<String, Slot>>,
    reading: Semaphore,
    waiting: Arc<Semaphore>,
    lookups: Counter<1>,
}

impl Hub {
    /// Reads the files that the options name, and asks nothing yet. Registers
    /// `preset_registry_hub_lookups_total{result}`.
    pub(crate) fn new(options: HubOptions, metrics: &Metrics) -> Result<Self, HubError> {
        let http = Http::new(&options)?;
        Ok(Self(Arc::new(Inner {
            endpoint: http.endpoint(),
            http,
            store: Store::new(options.cache_dir),
            answers: Mutex::default(),
            reading: Semaphore::new(READING),
            waiting: Arc::new(Semaphore::new(WAITING)),
            lookups: metrics.counter(
                "preset_registry_hub_lookups",
                "Questions for models of the hub",
                ["result"],
            ),
        })))
    }

    /// Where the hub is.
    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// The preset of the model with this name.
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
            .map_err(|_| Problem::Busy)?;
        let inner = Arc::clone(&self.0);
        // A task of its own: it goes on when the client leaves.
        let task = tokio::spawn(async move {
            let _place = place;
            inner.renew(&id, slot).await
        });
        task.await.unwrap_or_else(|error| {
            Err(Problem::from(HubFailure::Task {
                reason: error.to_string(),
            }))
        })
    }
}

impl Inner {
    async fn renew(&self, id: &HubId, mut slot: Held) -> Answer {
        let answer = match tokio::time::timeout(TIMEOUT, self.read(id)).await {
            Ok(answer) => answer,
            Err(_) => Err(Problem::from(HubFailure::TimedOut)),
        };
        let before = slot.take().and_then(|(_, answer)| answer.ok());
        let answer = self.or_before(id, answer, before).await;
        *slot = Some((Instant::now(), answer.clone()));
        answer
    }

    /// A failure that passes does not take away what was known.
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
            None => self.kept(|store, id| store.latest(id), id).await,
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
        let _turn = self.reading.acquire().await.map_err(|_| Problem::Busy)?;
        let info = fetch::info(&self.http, id).await?;
        let revision = info.revision.clone();
        let kept = self
            .kept(move |store, id| store.load(id, &revision), &info.id)
            .await;
        if let Some(preset) = kept {
            self.lookups.inc(["kept"]);
            return Ok(preset);
        }
        let sources = fetch::sources(&self.http, &info).await?;
        let preset = Arc::new(sources.preset()?);
        tracing::info!(%id, revision = sources.revision, "a model was read from the hub");
        self.lookups.inc(["read"]);
        let store = self.store.clone();
        // Losing what is kept costs time only.
        let _ = tokio::task::spawn_blocking(move || store.save(&sources)).await;
        Ok(preset)
    }

    /// What the disk has of a model.
    async fn kept(
        &self,
        load: impl FnOnce(&Store, &HubId) -> Option<Sources> + Send + 'static,
        id: &HubId,
    ) -> Option<Arc<Preset>> {
        let (store, id) = (self.store.clone(), id.clone());
        let sources = tokio::task::spawn_blocking(move || load(&store, &id))
            .await
            .ok()??;
        sources.preset().ok().map(Arc::new)
    }

    fn slot(&self, id: &HubId) -> Slot {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_ANSWERS {
            // All that nobody waits for: they are on disk.
            answers.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(answers.entry(id.as_str().to_lowercase()).or_default())
    }
}

fn freshness(answer: &Answer) -> Duration {
    match answer {
        Ok(_) => FRESH,
        Err(Problem::Limited { retry_after }) => retry_after.unwrap_or(FAILED_FRESH),
        Err(problem) if problem.is_transient() => FAILED_FRESH,
        Err(_) => REFUSED_FRESH,
    }
}

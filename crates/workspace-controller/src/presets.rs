//! Looks up presets: in the copy of the catalog, else in the remembered answers of the registry. A lookup never waits.
//!
//! The registry is asked only about what its catalog does not have: models of a hub, and commits of presets that are not pinned.
//! Tasks of their own ask. The Workspaces that want the answer are enqueued when it comes. The last good answer outlives a registry
//! that is down. A failure is returned as data.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use operator_runtime::Key;
use preset_catalog::Preset;
use preset_registry_api::v1::GetPresetRequest;
use tonic::{Code, Request, Status};
use workspace_plan::{PresetAnswer, PresetLookup};

use crate::catalog_cache::CatalogCache;
use crate::catalog_watch::CatalogWatch;
use crate::lookups::Lookups;
use crate::registry_client::RegistryClient;
use crate::registry_tls::RegistryTrust;

/// Time limit of one call. A registry that asks a hub may take this long.
const DEADLINE: Duration = Duration::from_secs(30);

/// Time to wait for the first catalog, so that a restart does not look up each preset by itself.
const FIRST_CATALOG: Duration = Duration::from_secs(5);

type OnAnswer = Arc<dyn Fn(Key) + Send + Sync>;

/// A preset registry and its last answers; clones share them.
#[derive(Clone)]
pub struct Presets(Arc<RegistryAnswers>);

struct RegistryAnswers {
    client: RegistryClient,
    endpoint: String,
    catalog: CatalogCache,
    /// Origin of the times in `lookups`.
    started: Instant,
    lookups: Mutex<Lookups>,
    on_answer: OnAnswer,
}

impl fmt::Debug for Presets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presets")
            .field("endpoint", &self.0.endpoint)
            .finish_non_exhaustive()
    }
}

impl Presets {
    /// Creates a client of a registry at an `http://` address, or with TLS at an `https://` one. Connects on first use.
    /// `on_answer` is called for each Workspace whose lookup has a new answer.
    ///
    /// # Errors
    /// The address is not a URL, its scheme does not fit the trust, or the certificates cannot be used.
    pub fn new(
        endpoint: &str,
        trust: RegistryTrust,
        on_answer: impl Fn(Key) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(RegistryAnswers {
            client: RegistryClient::new(endpoint, trust)?,
            endpoint: endpoint.to_owned(),
            catalog: CatalogCache::default(),
            lookups: Mutex::default(),
            started: Instant::now(),
            on_answer: Arc::new(on_answer),
        })))
    }

    /// Returns the watch that keeps the catalog up to date. The caller must run it.
    pub(crate) fn watch(&self) -> CatalogWatch {
        CatalogWatch {
            client: self.0.client.clone(),
            cache: self.0.catalog.clone(),
        }
    }

    /// Waits for the registry's catalog, but not for long: Workspaces without presets and deletions do not need it.
    pub(crate) async fn ready(&self) {
        if tokio::time::timeout(FIRST_CATALOG, self.0.catalog.ready())
            .await
            .is_err()
        {
            tracing::warn!("received no catalog of the preset registry yet, starting without it");
        }
    }

    /// Looks up a preset for a Workspace, from memory. Requires a Tokio runtime, which asks the registry if need be.
    #[must_use]
    pub fn lookup(&self, name: &str, workspace: &Key) -> PresetLookup {
        let listed = self.0.catalog.current(name);
        if let Some(preset) = listed.as_ref().filter(|preset| preset.revision.is_some()) {
            return PresetLookup::Found(Arc::clone(preset));
        }
        let answer = {
            let mut lookups = self.lookups();
            lookups.lookup(name, workspace, self.0.started.elapsed())
        };
        self.ask_next();
        if let Some(preset) = listed {
            return with_head(preset, answer);
        }
        match answer {
            // A catalog that was complete is better than no answer.
            PresetLookup::Asking => match self.0.catalog.last_known(name) {
                Some(preset) => PresetLookup::Unavailable {
                    message: format!("preset registry at {}: no connection", self.0.endpoint),
                    last_good: Some(preset),
                },
                None => PresetLookup::Asking,
            },
            answer => answer,
        }
    }

    /// Asks as many waiting questions as may be open.
    fn ask_next(&self) {
        loop {
            let Some(name) = self.lookups().next() else {
                return;
            };
            let presets = self.clone();
            tokio::spawn(async move {
                let answer = presets.answer(&name).await;
                let now = presets.0.started.elapsed();
                let last_known = || presets.0.catalog.last_known(&name);
                let changed = presets.lookups().record(&name, answer, last_known, now);
                changed.into_iter().for_each(|key| (presets.0.on_answer)(key));
                presets.ask_next();
            });
        }
    }

    fn lookups(&self) -> MutexGuard<'_, Lookups> {
        self.0.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, name: &str) -> PresetAnswer {
        match self.ask(name).await {
            Ok(preset) => PresetAnswer::Found(Arc::new(preset)),
            Err(status) if status.code() == Code::NotFound => PresetAnswer::Unknown {
                near: preset_registry_api::near_matches(&status),
            },
            Err(status) => {
                tracing::warn!(preset = name, error = %status, "failed to look up preset");
                PresetAnswer::Failed {
                    message: format!("preset registry at {}: {}", self.0.endpoint, describe(&status)),
                }
            }
        }
    }

    async fn ask(&self, name: &str) -> Result<Preset, Status> {
        let mut request = Request::new(GetPresetRequest {
            name: name.to_owned(),
        });
        request.set_timeout(DEADLINE);
        telemetry::grpc::inject(request.metadata_mut());
        // The header is for the server. A server that hangs is given up here.
        let response =
            tokio::time::timeout(DEADLINE, async { self.0.client.get()?.get_preset(request).await });
        let response = response
            .await
            .map_err(|_| Status::deadline_exceeded("no response"))??
            .into_inner();
        let preset = response
            .preset
            .ok_or_else(|| Status::internal("the response must hold a preset"))?;
        let preset = Preset::try_from(preset)
            .map_err(|error| Status::data_loss(format!("failed to read the response: {error}")))?;
        if is_named(&preset, name) {
            Ok(preset)
        } else {
            Err(Status::data_loss(format!(
                "expected preset {name}, received {}",
                preset.name
            )))
        }
    }
}

/// Adds the commit of the hub to a preset that is not pinned. The catalog does not have it, and it is waited for only once: what
/// the hub does not tell is no reason to serve nothing.
fn with_head(preset: Arc<Preset>, answer: PresetLookup) -> PresetLookup {
    let head = match answer {
        PresetLookup::Asking => return PresetLookup::Asking,
        PresetLookup::Found(asked)
        | PresetLookup::Unavailable {
            last_good: Some(asked),
            ..
        } if asked.hub_id == preset.hub_id => asked.head.clone(),
        _ => None,
    };
    if head.is_none() {
        return PresetLookup::Found(preset);
    }
    let preset = Preset {
        head,
        ..Preset::clone(&preset)
    };
    PresetLookup::Found(Arc::new(preset))
}

/// Reports whether a preset has the name that was asked for.
fn is_named(preset: &Preset, name: &str) -> bool {
    let names = [&preset.name, &preset.hub_id].into_iter().chain(&preset.aliases);
    names.into_iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Describes a failed call. The text becomes part of a condition, so it must not change while the state stays the same.
fn describe(status: &Status) -> Cow<'static, str> {
    if preset_registry_api::hub_reason(status).is_some() {
        // The registry's own message about a hub names the remedy.
        return status.message().to_owned().into();
    }
    let sentence = match status.code() {
        Code::Unavailable => "no connection",
        Code::DeadlineExceeded | Code::Cancelled => "no answer in time",
        Code::Unauthenticated | Code::PermissionDenied => {
            "it rejects our identity; the controller's account needs the right to get presets.kaito.sh"
        }
        Code::ResourceExhausted => "it is overloaded",
        Code::DataLoss => "its answer breaks the rules of presets, see the controller's log",
        _ => "it answered with an error, see the controller's log",
    };
    sentence.into()
}

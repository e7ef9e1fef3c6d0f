//! Looks up presets: in the copy of the catalog, else with a call to the registry.
//!
//! A reconcile calls the registry only for presets outside its catalog, such as models of a hub. Their answers are kept
//! for a while, and concurrent lookups of one name share one call. The last good answer outlives a registry that is
//! down. A failure is returned as data.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use preset_catalog::Preset;
use preset_registry_api::v1::GetPresetRequest;
use serve::Reloaded;
use tokio::sync::Mutex;
use tonic::transport::ClientTlsConfig;
use tonic::{Code, Request, Status};
use workspace_plan::{PresetAnswer, PresetLookup, PresetMemory};

use crate::catalog_cache::CatalogCache;
use crate::catalog_watch::CatalogWatch;
use crate::registry_client::RegistryClient;

/// Time limit of one call.
const DEADLINE: Duration = Duration::from_secs(2);

/// A preset registry and its last answers.
#[derive(Debug)]
pub struct Presets {
    client: RegistryClient,
    endpoint: String,
    catalog: CatalogCache,
    /// Origin of the times in `known`.
    started: Instant,
    known: Mutex<HashMap<String, Arc<Mutex<PresetMemory>>>>,
}

impl Presets {
    /// Creates a client of a registry at an `http://` address, or with TLS at an `https://` one. Connects on first use.
    ///
    /// # Errors
    /// The address is not a URL, an `https://` one comes without TLS, or the certificates cannot be used.
    pub fn new(endpoint: &str, tls: Option<Reloaded<ClientTlsConfig>>) -> anyhow::Result<Self> {
        Ok(Self {
            client: RegistryClient::new(endpoint, tls)?,
            endpoint: endpoint.to_owned(),
            catalog: CatalogCache::default(),
            known: Mutex::default(),
            started: Instant::now(),
        })
    }

    /// Returns the watch that keeps the catalog up to date. The caller must run it.
    pub(crate) fn watch(&self) -> CatalogWatch {
        CatalogWatch {
            client: self.client.clone(),
            cache: self.catalog.clone(),
        }
    }

    /// Looks up a preset. Calls the registry if the catalog does not have it and the last answer is old.
    pub async fn lookup(&self, name: &str) -> PresetLookup {
        if let Some(preset) = self.catalog.current(name) {
            return PresetLookup::Found(preset);
        }
        let memory = Arc::clone(self.known.lock().await.entry(name.to_lowercase()).or_default());
        // Held during the call, so that a thousand Workspaces of one preset send one request.
        let mut memory = memory.lock().await;
        if let Some(answer) = memory.fresh(self.started.elapsed()) {
            return answer.clone();
        }
        let answer = match self.ask(name).await {
            Ok(preset) => PresetAnswer::Found(Arc::new(preset)),
            Err(status) if status.code() == Code::NotFound => PresetAnswer::Unknown {
                near: preset_registry_api::near_matches(&status),
            },
            Err(status) => PresetAnswer::Failed {
                message: format!("preset registry at {}: {}", self.endpoint, describe(&status)),
            },
        };
        memory.record(answer, || self.catalog.last_known(name), self.started.elapsed())
    }

    async fn ask(&self, name: &str) -> Result<Preset, Status> {
        let mut request = Request::new(GetPresetRequest {
            name: name.to_owned(),
        });
        request.set_timeout(DEADLINE);
        telemetry::grpc::inject(request.metadata_mut());
        let response = self.client.get().get_preset(request).await?.into_inner();
        let preset = response
            .preset
            .ok_or_else(|| Status::internal("the response must hold a preset"))?;
        Preset::try_from(preset)
            .map_err(|error| Status::internal(format!("failed to read the response: {error}")))
    }
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
        Code::Unauthenticated | Code::PermissionDenied => "it rejects our identity",
        Code::ResourceExhausted => "it is overloaded",
        _ => "it answered with an error, see the controller's log",
    };
    sentence.into()
}

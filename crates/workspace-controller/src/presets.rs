//! What the preset registry says, remembered.
//!
//! The one gRPC edge of the system. The catalog is followed by a watch, so a reconcile asks only for what is not in
//! it, such as a model of a hub: such answers are kept for a while, concurrent questions for one name share one call,
//! and the last good answer outlives a registry that is down. Decides nothing; a failure is returned as data.

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

use crate::preset_watch::{PresetWatch, Told};
use crate::registry_client::RegistryClient;

/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// A preset registry and what it said last.
#[derive(Debug)]
pub struct Presets {
    client: RegistryClient,
    endpoint: String,
    told: Told,
    /// Origin of the times in `known`.
    started: Instant,
    known: Mutex<HashMap<String, Arc<Mutex<PresetMemory>>>>,
}

impl Presets {
    /// A registry at an `http://` address, or with TLS at an `https://` one. Nothing is connected yet.
    ///
    /// # Errors
    /// When the address is not a URL, an `https://` one comes without TLS, or the certificates cannot be used.
    pub fn new(endpoint: &str, tls: Option<Reloaded<ClientTlsConfig>>) -> anyhow::Result<Self> {
        Ok(Self {
            client: RegistryClient::new(endpoint, tls)?,
            endpoint: endpoint.to_owned(),
            told: Told::default(),
            known: Mutex::default(),
            started: Instant::now(),
        })
    }

    /// The watch that keeps this up to date; to be run.
    pub(crate) fn watch(&self) -> PresetWatch {
        PresetWatch {
            client: self.client.clone(),
            told: self.told.clone(),
        }
    }

    /// What is known of the preset of this name, asking the registry when its catalog has it not and the last answer
    /// is old.
    pub async fn lookup(&self, name: &str) -> PresetLookup {
        if let Some(preset) = self.told.now(name) {
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
        memory.record(answer, || self.told.last(name), self.started.elapsed())
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
            .ok_or_else(|| Status::internal("the answer holds no preset"))?;
        Preset::try_from(preset)
            .map_err(|error| Status::internal(format!("the answer cannot be read: {error}")))
    }
}

// One sentence that stays the same while the state stays the same: it lands in a condition.
fn describe(status: &Status) -> Cow<'static, str> {
    if preset_registry_api::hub_reason(status).is_some() {
        // What the registry says of a hub tells what helps.
        return status.message().to_owned().into();
    }
    let sentence = match status.code() {
        Code::Unavailable => "no connection",
        Code::DeadlineExceeded | Code::Cancelled => "no answer in time",
        Code::Unauthenticated | Code::PermissionDenied => "it refuses our identity",
        Code::ResourceExhausted => "it has too much to do",
        _ => "it answered with an error, see the controller's log",
    };
    sentence.into()
}

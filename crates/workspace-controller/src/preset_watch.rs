//! Follows the registry's catalog, for as long as the program runs, through every loss of the connection.
//!
//! Wakes Workspaces when there is news; decides nothing.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use preset_catalog::Preset;
use preset_registry_api::v1::WatchPresetsRequest;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::catalog::Catalog;
use crate::registry_client::RegistryClient;

/// First and longest pause before the registry is asked again after it went away; doubled each time.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What was told last, shared with those who look presets up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<RwLock<State>>);

#[derive(Debug, Default)]
struct State {
    catalog: Catalog,
    /// The registry is connected and has told everything.
    current: bool,
}

impl Told {
    /// The preset, as the registry has it now; `None` when it does not, or when that cannot be told.
    pub(crate) fn now(&self, name: &str) -> Option<Arc<Preset>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.current.then(|| state.catalog.find(name).cloned()).flatten()
    }

    /// The preset, as the registry had it when it told last.
    pub(crate) fn last(&self, name: &str) -> Option<Arc<Preset>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.catalog.find(name).cloned()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A watch of the catalog.
#[derive(Debug)]
pub(crate) struct PresetWatch {
    pub(crate) client: RegistryClient,
    pub(crate) told: Told,
}

impl PresetWatch {
    /// Follows until cancelled; `news` is called whenever lookups may have other answers.
    pub(crate) async fn run(self, token: CancellationToken, news: impl Fn()) {
        let mut pause = PAUSE.0;
        loop {
            let ended = tokio::select! {
                () = token.cancelled() => return,
                ended = self.follow(&news, &mut pause) => ended,
            };
            let was_current = self.told.change(|state| std::mem::take(&mut state.current));
            if was_current {
                tracing::warn!(error = %ended, "the preset registry is not followed any more");
                news();
            }
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Follows one stream to its end.
    async fn follow(&self, news: &impl Fn(), pause: &mut Duration) -> Status {
        let known_version = self.told.change(|state| state.catalog.version().to_owned());
        let request = Request::new(WatchPresetsRequest { known_version });
        let mut stream = match self.client.get().watch_presets(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return status,
        };
        loop {
            let told = match stream.message().await {
                Ok(Some(told)) => told,
                Ok(None) => return Status::unavailable("the registry ended the stream"),
                Err(status) => return status,
            };
            let applied = self.told.change(|state| {
                let whole = state.catalog.apply(told)?;
                state.current |= whole;
                Ok::<_, preset_registry_api::ConversionError>(whole)
            });
            match applied {
                Ok(true) => {
                    *pause = PAUSE.0;
                    news();
                }
                Ok(false) => {}
                Err(error) => return Status::internal(format!("the catalog cannot be read: {error}")),
            }
        }
    }
}

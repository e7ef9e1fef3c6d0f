//! Watches the registry's catalog as long as the program runs, through every loss of the connection.

use std::time::Duration;

use preset_registry_api::v1::WatchPresetsRequest;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::catalog_cache::CatalogCache;
use crate::registry_client::RegistryClient;

/// First and longest pause before the registry is asked again after a lost connection; doubled each time.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// A watch that keeps a [`CatalogCache`] up to date.
#[derive(Debug)]
pub(crate) struct CatalogWatch {
    pub(crate) client: RegistryClient,
    pub(crate) cache: CatalogCache,
}

impl CatalogWatch {
    /// Watches until canceled. Calls `on_change` whenever lookups may have other results.
    pub(crate) async fn run(self, token: CancellationToken, on_change: impl Fn()) {
        let mut pause = PAUSE.0;
        loop {
            let ended = tokio::select! {
                () = token.cancelled() => return,
                ended = self.follow(&on_change, &mut pause) => ended,
            };
            if self.cache.disconnect() {
                tracing::warn!(error = %ended, "lost the watch of the preset registry");
                on_change();
            }
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Follows one stream to its end.
    async fn follow(&self, on_change: &impl Fn(), pause: &mut Duration) -> Status {
        let request = Request::new(WatchPresetsRequest {
            known_version: self.cache.version(),
        });
        let mut stream = match self.client.get().watch_presets(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return status,
        };
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Status::unavailable("the registry ended the stream"),
                Err(status) => return status,
            };
            match self.cache.apply(message) {
                Ok(true) => {
                    *pause = PAUSE.0;
                    on_change();
                }
                Ok(false) => {}
                Err(error) => return Status::internal(format!("failed to read the catalog: {error}")),
            }
        }
    }
}

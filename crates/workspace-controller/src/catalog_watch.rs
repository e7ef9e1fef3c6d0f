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
            let mut worked = false;
            let ended = tokio::select! {
                () = token.cancelled() => return,
                ended = self.follow(&on_change, &mut worked) => ended,
            };
            if worked {
                // The registry ends old streams, and another replica may answer. The catalog stays current for one more attempt.
                tracing::debug!(reason = %ended, "the watch of the preset registry ended, opening another");
                pause = PAUSE.0;
            } else {
                if self.cache.disconnect() {
                    tracing::warn!(error = %ended, "lost the watch of the preset registry");
                    on_change();
                }
                pause = (pause * 2).min(PAUSE.1);
            }
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Follows one stream to its end. Sets `worked` once the catalog is complete.
    async fn follow(&self, on_change: &impl Fn(), worked: &mut bool) -> Status {
        let known_version = self.cache.version();
        let request = Request::new(WatchPresetsRequest {
            known_version: known_version.clone(),
        });
        let mut client = match self.client.get() {
            Ok(client) => client,
            Err(status) => return status,
        };
        let mut stream = match client.watch_presets(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return status,
        };
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Status::unavailable("the registry ended the stream"),
                Err(status) => return status,
            };
            let was_current = self.cache.is_current();
            if self.cache.apply(message) {
                // A stream that continues an earlier one confirms the catalog and changes nothing.
                if *worked || !was_current || self.cache.version() != known_version {
                    on_change();
                }
                *worked = true;
            }
        }
    }
}

//! Follows the ConfigMap in which the registry publishes the authorities of its certificates.
//!
//! It is watched, not mounted: a mounted ConfigMap is a minute behind, and a new replica serves at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use preset_registry_api::published;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::ClientTlsConfig;

use crate::registry_tls::{checked, trusting};

type Sender = watch::Sender<Option<Arc<ClientTlsConfig>>>;

/// The ConfigMap, and the way to those who use the authorities.
#[derive(Debug)]
pub(crate) struct AuthorityWatch {
    namespace: String,
    name: String,
    sender: Sender,
}

impl AuthorityWatch {
    /// Creates the watch of a ConfigMap, `namespace/name`. The caller must run it.
    ///
    /// # Errors
    /// The name does not have that form.
    pub(crate) fn new(config_map: &str) -> anyhow::Result<Self> {
        let parts = config_map.split_once('/');
        let parts = parts
            .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'));
        let (namespace, name) = parts.with_context(|| {
            format!("--preset-registry-ca-config-map must be NAMESPACE/NAME, not {config_map:?}")
        })?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            sender: watch::Sender::new(None),
        })
    }

    /// Returns the authorities; `None` before the ConfigMap was read.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<ClientTlsConfig>>> {
        self.sender.subscribe()
    }

    /// Watches until canceled.
    pub(crate) async fn run(self, client: Client, token: CancellationToken) {
        let api: Api<ConfigMap> = Api::namespaced(client, &self.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let events = watcher(api, config).default_backoff().boxed();
        tokio::select! {
            () = self.follow(events) => {}
            () = token.cancelled() => {}
        }
    }

    async fn follow(
        &self,
        mut events: impl Stream<Item = Result<watcher::Event<ConfigMap>, watcher::Error>> + Unpin,
    ) {
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    self.take(&object.data.unwrap_or_default());
                }
                // A deleted ConfigMap is published again. Until then the known authorities are as good as before.
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "failed to watch the registry's authorities, retrying");
                }
            }
        }
    }

    fn take(&self, data: &BTreeMap<String, String>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let authorities = published::authorities(data, now.as_secs());
        // One malformed value must not take the others with it.
        let usable = authorities.iter().filter(|pem| checked(trusting([*pem])).is_ok());
        let usable: Vec<&&str> = usable.collect();
        if usable.is_empty() {
            tracing::warn!("expected an authority of the registry in its ConfigMap");
            return;
        }
        match checked(trusting(usable.iter().map(|pem| pem.as_bytes()))) {
            Ok(config) => {
                tracing::info!(replicas = usable.len(), "received the registry's authorities");
                self.sender.send_replace(Some(Arc::new(config)));
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "failed to use the registry's authorities"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_values_are_left_out() {
        let watch = AuthorityWatch::new("ns/name").unwrap();
        let trusted = watch.subscribe();
        let until = format!("{}{}\n", published::UNTIL, u64::MAX);
        let pem = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .unwrap()
            .cert
            .pem();
        let broken = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        let mut data = BTreeMap::from([("bad.crt".to_owned(), format!("{until}{broken}"))]);
        watch.take(&data);
        assert!(trusted.borrow().is_none());
        data.insert("good.crt".to_owned(), format!("{until}{pem}"));
        watch.take(&data);
        assert!(trusted.borrow().is_some());
    }

    #[test]
    fn the_name_has_two_parts() {
        for bad in ["", "a", "/a", "a/", "a/b/c"] {
            assert!(AuthorityWatch::new(bad).is_err(), "{bad}");
        }
    }
}

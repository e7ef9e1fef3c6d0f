//! Publishes the authorities of this process's own certificates in a ConfigMap, and renews the certificates.
//!
//! The ConfigMap has one key for each replica, with the authorities that the replica uses or will use. Each replica owns its
//! key under its own field manager, so replicas never conflict and none needs to lead. A new certificate is served only after
//! its authority has been published for a while. Keys of replicas that ended without removing theirs are removed by any other
//! replica when their certificates have ended. The first line of a value has that time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::ConfigMap;
use kaito_api::labels;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Error};
use operator_runtime::ConfigMapName;
use preset_registry_api::published;
use rustls::ServerConfig;
use serde_json::json;
use serve::{Checks, Gate};
use telemetry::{Counter, Metrics};
use tokio::sync::watch;

use crate::beat::Beat;
use crate::own_certificate::{OwnCertificate, OwnCertificateError};

/// Pause between writes of unchanged authorities, in case a user removed or edited the ConfigMap.
const REPAIR: Duration = Duration::from_secs(30);
/// First pause after a failure; it doubles up to [`REPAIR`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Longest time between the publication of an authority and the use of its certificate. Clients watch the ConfigMap.
const MAX_LEAD: Duration = Duration::from_secs(30);
/// Time for one write.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Most keys of ended replicas that are removed by one write.
const MAX_REMOVED: usize = 100;

/// Options of own certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityOptions {
    /// The ConfigMap with the authorities.
    pub config_map: ConfigMapName,
    /// Name of this replica, such as the pod's.
    pub replica: String,
    /// DNS names of the server.
    pub names: Vec<String>,
    /// Lifetime of a certificate. It is renewed after half of it.
    pub lifetime: Duration,
    /// Audience of callers' tokens, published for clients; empty if tokens are not checked.
    pub audience: String,
}

/// The certificate in use, and the one that follows.
pub(crate) struct Authority {
    options: AuthorityOptions,
    api: Api<ConfigMap>,
    used: OwnCertificate,
    next: Option<Next>,
    config: watch::Sender<Arc<ServerConfig>>,
    beat: Beat,
    writes: Counter<1>,
}

struct Next {
    certificate: OwnCertificate,
    /// Time of the publication of its authority; `None` before.
    published: Option<SystemTime>,
}

impl Authority {
    /// Makes the first certificate. Registers `kaito_preset_registry_authority_publications_total{result}`.
    ///
    /// # Errors
    /// A name is malformed.
    pub(crate) fn new(
        options: AuthorityOptions,
        client: Client,
        metrics: &Metrics,
    ) -> Result<Self, OwnCertificateError> {
        let used = OwnCertificate::make(&options.names, options.lifetime, SystemTime::now())?;
        let (config, _) = watch::channel(Arc::clone(&used.config));
        Ok(Self {
            api: Api::namespaced(client, &options.config_map.namespace),
            options,
            used,
            next: None,
            config,
            beat: Beat::new(),
            writes: metrics.counter(
                "kaito_preset_registry_authority_publications",
                "Writes of the ConfigMap with the authorities of the registry's certificates.",
                ["result"],
            ),
        })
    }

    /// Returns the configuration of the certificate in use and of those to come.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.subscribe()
    }

    /// Adds a check that fails if certificates are not renewed any more.
    pub(crate) fn add_check(&self, liveness: &Checks) {
        let beat = self.beat.clone();
        liveness.add("renewal of certificates", move || beat.check());
    }

    /// Publishes and renews forever. The gate opens with the first publication.
    pub(crate) async fn follow(&mut self, gate: &Gate) {
        gate.set(false, "the authority of the certificate is not published yet");
        let mut failures: u32 = 0;
        loop {
            self.beat.mark();
            self.renew(SystemTime::now());
            let pause = if self.publish().await {
                gate.set(true, "");
                failures = 0;
                self.switch(SystemTime::now())
            } else {
                failures += 1;
                FIRST_RETRY
                    .saturating_mul(2_u32.saturating_pow(failures - 1))
                    .min(REPAIR)
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Removes the key of this replica, so that clients trust it no longer.
    pub(crate) async fn withdraw(&self) {
        let removed = tokio::time::timeout(TIMEOUT, self.apply(BTreeMap::new())).await;
        if !matches!(removed, Ok(Ok(_))) {
            tracing::warn!("failed to remove the authority, leaving it until it ends");
        }
    }

    /// Makes the next certificate if it is time to.
    fn renew(&mut self, now: SystemTime) {
        if self.next.is_some() || now < self.used.renew_at {
            return;
        }
        match OwnCertificate::make(&self.options.names, self.options.lifetime, now) {
            Ok(certificate) => {
                self.next = Some(Next {
                    certificate,
                    published: None,
                });
            }
            Err(error) => tracing::error!(%error, "failed to renew the certificate"),
        }
    }

    /// Uses the next certificate if its authority has been published for long enough. Returns the time until the next step.
    fn switch(&mut self, now: SystemTime) -> Duration {
        let lead = MAX_LEAD.min(self.options.lifetime / 10);
        let Some(next) = &mut self.next else {
            let renewal = self.used.renew_at.duration_since(now).unwrap_or_default();
            return REPAIR.min(renewal);
        };
        let published = *next.published.get_or_insert(now);
        let waited = now.duration_since(published).unwrap_or_default();
        // No client accepts an ended certificate, so its successor cannot wait.
        if waited < lead && now < self.used.end {
            return lead.saturating_sub(waited).min(REPAIR);
        }
        if let Some(next) = self.next.take() {
            self.config.send_replace(Arc::clone(&next.certificate.config));
            self.used = next.certificate;
            tracing::info!("renewed the certificate");
        }
        // The ended authority is removed by the next write.
        Duration::ZERO
    }

    async fn publish(&self) -> bool {
        let mut text = format!("{}{}\n", published::UNTIL, unix(self.last_end()));
        text.push_str(&self.used.authority);
        if let Some(next) = &self.next {
            text.push_str(&next.certificate.authority);
        }
        let data = BTreeMap::from([(published::key(&self.options.replica), text)]);
        let failure = match tokio::time::timeout(TIMEOUT, self.apply(data)).await {
            Ok(Ok(found)) => {
                self.writes.inc(["ok"]);
                self.remove_ended(&found).await;
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no response in {} s", TIMEOUT.as_secs()),
        };
        self.writes.inc(["error"]);
        let ConfigMapName { namespace, name } = &self.options.config_map;
        tracing::warn!(
            namespace,
            name,
            error = failure,
            "failed to publish authority, retrying"
        );
        false
    }

    fn last_end(&self) -> SystemTime {
        let next = self.next.as_ref().map(|next| next.certificate.end);
        next.map_or(self.used.end, |next| next.max(self.used.end))
    }

    async fn apply(&self, data: BTreeMap<String, String>) -> Result<ConfigMap, Error> {
        let ConfigMapName { namespace, name } = &self.options.config_map;
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "namespace": namespace,
                "name": name,
                "labels": { (labels::MANAGED_BY): labels::PRESET_REGISTRY },
                "annotations": { (published::AUDIENCE): self.options.audience },
            },
            "data": data,
        });
        // A manager has at most 128 bytes, a pod's name at most 63 in a Deployment.
        let manager = format!("{}/{}", labels::PRESET_REGISTRY, self.options.replica);
        let params = PatchParams::apply(&manager).force();
        self.api.patch(name, &params, &Patch::Apply(&object)).await
    }

    /// Removes the keys of other replicas whose certificates have ended.
    async fn remove_ended(&self, found: &ConfigMap) {
        let own = published::key(&self.options.replica);
        let now = unix(SystemTime::now());
        let ended =
            found.data.iter().flatten().filter(|(key, text)| {
                **key != own && published::until(text).is_some_and(|until| until < now)
            });
        let ended: BTreeMap<&String, ()> = ended.take(MAX_REMOVED).map(|(key, _)| (key, ())).collect();
        if ended.is_empty() {
            return;
        }
        // With the version that was read, a replica that renews its key meanwhile keeps it.
        let patch = json!({
            "metadata": { "resourceVersion": found.metadata.resource_version },
            "data": ended,
        });
        let params = PatchParams::default();
        let removed = self
            .api
            .patch(&self.options.config_map.name, &params, &Patch::Merge(&patch))
            .await;
        match removed {
            Ok(_) => tracing::info!(keys = ended.len(), "removed ended authorities"),
            Err(error) => tracing::debug!(%error, "failed to remove ended authorities"),
        }
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

//! Publishes the catalog as a ConfigMap for the admission policy of the chart, and keeps it current.
//!
//! What is in it is a function of the catalog (`admission::table`), so replicas that serve the same one write the same
//! bytes and none needs to lead. An API server that does not answer stops nothing but the publication.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use admission::table::{Unlisted, table};
use instance_types::Cloud;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::labels;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use preset_catalog::Catalog;
use telemetry::{Counter, Metrics};

use crate::library::Library;

/// Pause until the ConfigMap is written again though nothing changed, in case somebody removed or edited it.
const REPAIR: Duration = Duration::from_secs(30);
/// First pause after a failure; it doubles up to [`REPAIR`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// How long one write may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Where the ConfigMap is, as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Not of the form `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form NAMESPACE/NAME")]
pub struct BadPlace(String);

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [namespace, name] if !namespace.is_empty() && !name.is_empty() => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(BadPlace(text.to_owned())),
        }
    }
}

/// What is published where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOptions {
    /// The ConfigMap.
    pub place: Place,
    /// Whose instance types are in it.
    pub cloud: Cloud,
    /// What it says of presets that are not in the catalog.
    pub unlisted: Unlisted,
}

/// Follows the catalog and writes the ConfigMap.
pub(crate) struct Publisher {
    options: PublishOptions,
    api: Api<ConfigMap>,
    library: Arc<Library>,
    writes: Counter<1>,
}

impl Publisher {
    /// Registers `preset_registry_publications_total{result}`.
    pub(crate) fn new(
        options: PublishOptions,
        client: Client,
        library: Arc<Library>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            api: Api::namespaced(client, &options.place.namespace),
            options,
            library,
            writes: metrics.counter(
                "preset_registry_publications",
                "Writes of the ConfigMap that the admission policy reads",
                ["result"],
            ),
        }
    }

    /// Follows the catalog for ever.
    pub(crate) async fn follow(&self) {
        let mut catalogs = self.library.subscribe();
        let mut published: Option<Published> = None;
        let mut failures = 0;
        loop {
            let catalog = Arc::clone(&catalogs.borrow_and_update().catalog);
            let current = match published.take() {
                Some(last) if last.version == catalog.version() => last,
                _ => self.prepare(Arc::clone(&catalog)).await,
            };
            let pause = if self.write(&current).await {
                failures = 0;
                REPAIR
            } else {
                failures += 1;
                FIRST_RETRY
                    .saturating_mul(2_u32.saturating_pow(failures - 1))
                    .min(REPAIR)
            };
            published = Some(current);
            // An error would mean that the library is gone, and it is held here.
            let _ = tokio::time::timeout(pause, catalogs.changed()).await;
        }
    }

    /// Asks the planner thousands of questions, away from the threads that answer requests.
    async fn prepare(&self, catalog: Arc<Catalog>) -> Published {
        let (cloud, unlisted) = (self.options.cloud, self.options.unlisted);
        let version = catalog.version().to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let types = instance_types::Catalog::embedded().ok()?;
            Some(table(&catalog, types, cloud, unlisted))
        });
        Published {
            version,
            data: made.await.ok().flatten(),
            told: AtomicBool::new(false),
        }
    }

    async fn write(&self, published: &Published) -> bool {
        let Some(data) = &published.data else {
            tracing::error!("the catalog cannot be published: its table cannot be made");
            return false;
        };
        let place = &self.options.place;
        let object = config_map(place, data.clone());
        let params = PatchParams::apply(labels::PRESET_REGISTRY).force();
        let patch = Patch::Apply(&object);
        let write = self.api.patch(&place.name, &params, &patch);
        let failure = match tokio::time::timeout(TIMEOUT, write).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer in {} s", TIMEOUT.as_secs())),
        };
        self.writes.inc([if failure.is_none() { "ok" } else { "error" }]);
        let (namespace, name, version) = (&place.namespace, &place.name, &published.version);
        match failure {
            None => {
                if !published.told.swap(true, Ordering::Relaxed) {
                    tracing::info!(namespace, name, version, "the catalog is published for admission");
                }
                true
            }
            Some(error) => {
                tracing::warn!(
                    namespace,
                    name,
                    version,
                    error,
                    "the catalog cannot be published, trying again"
                );
                false
            }
        }
    }
}

/// One table, ready to be written.
struct Published {
    version: String,
    /// Absent when it cannot be made.
    data: Option<BTreeMap<String, String>>,
    /// That it is written was logged.
    told: AtomicBool,
}

fn config_map(place: &Place, data: BTreeMap<String, String>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some(place.namespace.clone()),
            name: Some(place.name.clone()),
            labels: Some([(labels::MANAGED_BY.to_owned(), labels::PRESET_REGISTRY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_namespace_and_a_name() {
        let place: Place = "kaito-system/catalog".parse().unwrap();
        assert_eq!(
            (place.namespace.as_str(), place.name.as_str()),
            ("kaito-system", "catalog")
        );
        for bad in ["", "a", "/a", "a/", "a/b/c"] {
            assert_eq!(bad.parse::<Place>(), Err(BadPlace(bad.to_owned())));
        }
    }
}

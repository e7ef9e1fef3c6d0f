//! Publishes the catalog as a ConfigMap for the admission policy of the chart, and keeps it current.
//!
//! Its contents are a function of the catalog and the instance types (`admission::table`). So replicas with the same catalog write the same bytes,
//! and none needs to lead. A failing API server stops the publication only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use admission::table::{TableOptions, table};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::labels;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use operator_runtime::ConfigMapName;
use preset_catalog::Catalog;
use telemetry::{Counter, Metrics};

use crate::catalog_store::CatalogStore;

/// Pause between writes of an unchanged table, in case a user removed or edited the ConfigMap.
const REPAIR: Duration = Duration::from_secs(30);
/// First pause after a failure; it doubles up to [`REPAIR`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Time for one write.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Options of the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOptions {
    /// The ConfigMap.
    pub config_map: ConfigMapName,
    /// The settings of the table.
    pub table: TableOptions,
}

/// Follows the catalog and writes the ConfigMap.
pub(crate) struct Publisher {
    options: PublishOptions,
    api: Api<ConfigMap>,
    catalogs: Arc<CatalogStore>,
    types: Arc<instance_types::Catalog>,
    writes: Counter<1>,
}

impl Publisher {
    /// Registers `kaito_preset_registry_publications_total{result}`.
    pub(crate) fn new(
        options: PublishOptions,
        client: Client,
        catalogs: Arc<CatalogStore>,
        types: Arc<instance_types::Catalog>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            api: Api::namespaced(client, &options.config_map.namespace),
            options,
            catalogs,
            types,
            writes: metrics.counter(
                "kaito_preset_registry_publications",
                "Writes of the ConfigMap that the admission policy reads",
                ["result"],
            ),
        }
    }

    /// Follows the catalog forever.
    pub(crate) async fn follow(&self) {
        let mut catalogs = self.catalogs.subscribe();
        let mut published: Option<Publication> = None;
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
            // Fails only without a store, which this value holds.
            let _ = tokio::time::timeout(pause, catalogs.changed()).await;
        }
    }

    /// Asks the planner thousands of questions, away from the threads that answer requests.
    async fn prepare(&self, catalog: Arc<Catalog>) -> Publication {
        let options = self.options.table;
        let version = catalog.version().to_owned();
        let types = Arc::clone(&self.types);
        let made = tokio::task::spawn_blocking(move || table(&catalog, &types, &options));
        Publication {
            version,
            data: made.await.ok(),
            logged: AtomicBool::new(false),
        }
    }

    async fn write(&self, published: &Publication) -> bool {
        let Some(data) = &published.data else {
            tracing::error!("failed to build the table of the catalog");
            return false;
        };
        let config_map = &self.options.config_map;
        let object = object(config_map, data.clone());
        let params = PatchParams::apply(labels::PRESET_REGISTRY).force();
        let patch = Patch::Apply(&object);
        let write = self.api.patch(&config_map.name, &params, &patch);
        let failure = match tokio::time::timeout(TIMEOUT, write).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no response in {} s", TIMEOUT.as_secs())),
        };
        self.writes.inc([if failure.is_none() { "ok" } else { "error" }]);
        let (namespace, name, version) = (&config_map.namespace, &config_map.name, &published.version);
        match failure {
            None => {
                if !published.logged.swap(true, Ordering::Relaxed) {
                    tracing::info!(namespace, name, version, "published catalog for admission");
                }
                true
            }
            Some(error) => {
                tracing::warn!(
                    namespace,
                    name,
                    version,
                    error,
                    "failed to publish catalog, retrying"
                );
                false
            }
        }
    }
}

/// One table, ready to be written.
struct Publication {
    version: String,
    /// Absent when it cannot be made.
    data: Option<BTreeMap<String, String>>,
    /// That it is written was logged.
    logged: AtomicBool,
}

fn object(config_map: &ConfigMapName, data: BTreeMap<String, String>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some(config_map.namespace.clone()),
            name: Some(config_map.name.clone()),
            labels: Some([(labels::MANAGED_BY.to_owned(), labels::PRESET_REGISTRY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    }
}

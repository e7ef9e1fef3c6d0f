//! Watches of the ConfigMaps that Workspaces name: one for each, from its first Workspace to its last.
//!
//! The field selector names the object, so that no other ConfigMap of a user is read. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use k8s_openapi::api::core::v1::ConfigMap;
use kaito_api::Workspace;
use operator_runtime::{Cache, Enqueuer, Key, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};
use workspace_plan::{ConfigLookup, MOST_USER_CONFIGS};

/// The watches; clones share them.
#[derive(Clone)]
pub(crate) struct UserConfigs(Arc<SharedConfigs>);

struct SharedConfigs {
    runtime: Runtime,
    enqueuer: Enqueuer,
    token: CancellationToken,
    state: Mutex<NamedConfigs>,
}

#[derive(Default)]
struct NamedConfigs {
    /// ConfigMaps by the Workspace that names them.
    named: BTreeMap<Key, Key>,
    /// By the ConfigMap.
    watches: BTreeMap<Key, RunningWatch>,
}

struct RunningWatch {
    cache: Cache<ConfigMap>,
    /// Ends the watch when it is dropped.
    _end: DropGuard,
}

impl fmt::Debug for UserConfigs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("UserConfigs")
            .field("watches", &state.watches.keys())
            .finish_non_exhaustive()
    }
}

impl UserConfigs {
    /// Creates no watches yet. All end with the token.
    pub(crate) fn new(runtime: &Runtime, enqueuer: &Enqueuer, token: &CancellationToken) -> Self {
        Self(Arc::new(SharedConfigs {
            runtime: runtime.clone(),
            enqueuer: enqueuer.clone(),
            token: token.clone(),
            state: Mutex::default(),
        }))
    }

    /// Records what a Workspace names now; `None` for a Workspace that is gone.
    pub(crate) fn record(&self, workspace: &Key, now: Option<&Workspace>) {
        let named = now.and_then(workspace_plan::config_to_look_up);
        let named = named.map(|name| Key::namespaced(workspace.namespace.clone().unwrap_or_default(), name));
        let mut state = self.0.lock();
        let before = match &named {
            Some(config) => state.named.insert(workspace.clone(), config.clone()),
            None => state.named.remove(workspace),
        };
        if before == named {
            return;
        }
        if let Some(before) = before
            && !state.named.values().any(|config| *config == before)
        {
            state.watches.remove(&before);
        }
        // One that ended may make room for another.
        let waiting = state
            .named
            .values()
            .filter(|config| config.namespace == workspace.namespace);
        let waiting: BTreeSet<Key> = waiting
            .filter(|config| !state.watches.contains_key(config))
            .cloned()
            .collect();
        for config in waiting {
            if state.count(&config) < MOST_USER_CONFIGS {
                let running = self.watch(&config);
                state.watches.insert(config, running);
            }
        }
    }

    /// Waits until every ConfigMap that is named now was read, so that a new replica does not report that it was not.
    pub(crate) async fn ready(&self, token: &CancellationToken) {
        loop {
            let caches = self
                .0
                .lock()
                .watches
                .values()
                .map(|running| running.cache.clone())
                .collect::<Vec<_>>();
            let Some(next) = caches.into_iter().find(|cache| !cache.is_ready()) else {
                return;
            };
            tokio::select! {
                () = next.ready() => {}
                () = token.cancelled() => return,
                // Its Workspace may be gone, and its watch with it.
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            }
        }
    }

    /// Returns what is known about a ConfigMap.
    pub(crate) fn lookup(&self, namespace: &str, name: &str) -> ConfigLookup {
        let config = Key::namespaced(namespace, name);
        let state = self.0.lock();
        match state.watches.get(&config) {
            Some(running) if running.cache.is_ready() => match running.cache.get(&config) {
                Some(object) => ConfigLookup::Found(object),
                None => ConfigLookup::Missing,
            },
            Some(_) => ConfigLookup::Asking,
            None if state.count(&config) >= MOST_USER_CONFIGS => ConfigLookup::TooMany,
            None => ConfigLookup::Asking,
        }
    }

    fn watch(&self, config: &Key) -> RunningWatch {
        let namespace = config.namespace.as_deref().unwrap_or_default();
        let runtime = &self.0.runtime;
        let watch = runtime.watch_one(namespace, &config.name, workspace_plan::strip_user_config);
        let (cache, token) = (watch.cache(), self.0.token.child_token());
        let running = RunningWatch {
            cache: cache.clone(),
            _end: token.clone().drop_guard(),
        };
        let (shared, config) = (Arc::downgrade(&self.0), config.clone());
        tokio::spawn(async move {
            let enqueue = || SharedConfigs::enqueue(&shared, &config);
            let listed = async {
                // A ConfigMap that does not exist causes no change.
                cache.ready().await;
                enqueue();
            };
            let running = watch.run(token.clone(), |_| enqueue());
            let (ended, ()) = tokio::join!(running, async {
                tokio::select! {
                    () = listed => {}
                    () = token.cancelled() => {}
                }
            });
            if let Err(error) = ended {
                tracing::error!(%config, error = %error, "failed to watch ConfigMap");
            }
        });
        running
    }
}

impl SharedConfigs {
    fn lock(&self) -> MutexGuard<'_, NamedConfigs> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enqueues the Workspaces that name the ConfigMap.
    fn enqueue(shared: &Weak<Self>, config: &Key) {
        let Some(shared) = shared.upgrade() else { return };
        let state = shared.lock();
        let users = state.named.iter().filter(|(_, named)| *named == config);
        for (workspace, _) in users {
            shared.enqueuer.enqueue(workspace.clone());
        }
    }
}

impl NamedConfigs {
    /// Number of watches in the namespace of a ConfigMap.
    fn count(&self, config: &Key) -> usize {
        let first = Key {
            namespace: config.namespace.clone(),
            name: String::new(),
        };
        let rest = self.watches.range(first..).map(|(other, _)| other);
        rest.take_while(|other| other.namespace == config.namespace)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serve::{Checks, Readiness};
    use telemetry::Metrics;

    use super::*;

    fn workspace(config: &str) -> Workspace {
        serde_json::from_value(json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w", "namespace": "d"},
            "inference": {"preset": {"name": "phi-4"}, "config": config},
        }))
        .unwrap()
    }

    /// Of an API server that does not exist, so that nothing is ever listed.
    fn configs() -> UserConfigs {
        operator_runtime::install_tls_provider();
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let health = operator_runtime::HealthArgs {
            watch_silence_seconds: 60,
            reconcile_limit_seconds: 60,
        };
        let health = health.health(&Readiness::new(), &Checks::new());
        let runtime = Runtime::new(client, "test", &Metrics::new(), health);
        let (enqueuer, _queue) = operator_runtime::queue(std::time::Duration::ZERO);
        UserConfigs::new(&runtime, &enqueuer, &CancellationToken::new())
    }

    fn watched(configs: &UserConfigs) -> Vec<String> {
        let state = configs.0.lock();
        state.watches.keys().map(|key| key.name.clone()).collect()
    }

    #[tokio::test]
    async fn a_watch_lasts_from_the_first_workspace_to_the_last() {
        let configs = configs();
        let key = |name: &str| Key::namespaced("d", name);
        configs.record(&key("v"), Some(&workspace("a")));
        configs.record(&key("w"), Some(&workspace("a")));
        configs.record(&key("x"), Some(&workspace("")));
        assert_eq!(watched(&configs), ["a"]);
        assert_eq!(configs.lookup("d", "a"), ConfigLookup::Asking);
        configs.record(&key("v"), None);
        assert_eq!(watched(&configs), ["a"]);
        configs.record(&key("w"), Some(&workspace("b")));
        assert_eq!(watched(&configs), ["b"]);
        configs.record(&key("w"), None);
        assert_eq!(watched(&configs), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_namespace_has_a_limit_and_others_do_not_notice() {
        let configs = configs();
        for number in 0..=MOST_USER_CONFIGS {
            let key = Key::namespaced("d", format!("w{number:03}"));
            configs.record(&key, Some(&workspace(&format!("c{number:03}"))));
        }
        let last = format!("c{MOST_USER_CONFIGS:03}");
        assert_eq!(watched(&configs).len(), MOST_USER_CONFIGS);
        assert_eq!(configs.lookup("d", &last), ConfigLookup::TooMany);
        assert_eq!(configs.lookup("d", "c000"), ConfigLookup::Asking);
        assert_eq!(configs.lookup("e", &last), ConfigLookup::Asking);
        // Room appears, and the one that waited is watched.
        configs.record(&Key::namespaced("d", "w000"), None);
        assert_eq!(configs.lookup("d", &last), ConfigLookup::Asking);
        assert!(watched(&configs).contains(&last));
    }
}

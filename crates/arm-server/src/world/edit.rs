//! Changes by other users, which bypass the simulated API.

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::pool::Pool;
use crate::control::{PoolEdit, PoolView};

impl World {
    /// Creates or changes a pool at once.
    pub(crate) fn edit(&mut self, now: Duration, name: &str, edit: &PoolEdit) {
        let etag = self.ids.guid();
        let number = self.ids.digits();
        let pool = self.pools.entry(name.to_owned()).or_insert_with(|| Pool {
            name: name.to_owned(),
            properties: super::pool::completed("a", &json!({"properties": {"vmSize": "Standard_D4s_v5"}}))
                .unwrap_or_default(),
            state: "Succeeded".to_owned(),
            etag: String::new(),
            running: None,
            failure: None,
            // The pool counts as old, so no listing lags behind it.
            born: Duration::ZERO,
            boot_at: None,
            number,
        });
        pool.etag = etag;
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                pool.properties.insert(key.to_owned(), value);
            }
        };
        set("count", edit.count.map(|count| json!(count)));
        set("vmSize", edit.vm_size.as_ref().map(|size| json!(size)));
        set("mode", edit.mode.as_ref().map(|mode| json!(mode)));
        set("nodeLabels", edit.labels.as_ref().map(|labels| json!(labels)));
        set("nodeTaints", edit.taints.as_ref().map(|taints| json!(taints)));
        set("tags", edit.tags.as_ref().map(|tags| json!(tags)));
        if let Some(state) = &edit.state {
            pool.state.clone_from(state);
            pool.running = None;
        }
        if let Some(stopped) = edit.stopped {
            self.turn_pool(now, name, stopped);
        }
        if edit.boot {
            self.plan_nodes(name, now);
        }
    }

    /// Removes a pool at once. Returns false if it does not exist.
    pub(crate) fn vanish(&mut self, now: Duration, name: &str) -> bool {
        let there = self.pools.contains_key(name);
        self.remove(name, now);
        there
    }

    /// Every pool.
    pub(crate) fn view(&self) -> Vec<PoolView> {
        let id = self.cluster_id();
        let view = |pool: &Pool| PoolView {
            name: pool.name.clone(),
            state: pool.state.clone(),
            count: pool.count(),
            vm_size: pool.vm_size().to_owned(),
            etag: pool.etag.clone(),
            body: pool.body(&id, true),
        };
        self.pools.values().map(view).collect()
    }
}

//! Stopping and starting pools and the whole cluster. Stopped pools have no nodes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::pool::{Ending, Running};
use super::{Reply, World};
use crate::pattern;

/// Power state of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    Running,
    Stopped,
}

impl Power {
    fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
        }
    }

    fn of(properties: &Map<String, Value>) -> Self {
        match properties.get("powerState").and_then(|state| state.get("code")) {
            Some(code) if code == "Stopped" => Self::Stopped,
            _ => Self::Running,
        }
    }
}

impl World {
    /// Stops or starts an existing pool if a PUT asks for another power state, as `az aks nodepool stop` does.
    pub(super) fn turn_by_request(
        &mut self,
        now: Duration,
        name: &str,
        sent: &Map<String, Value>,
        with_etag: bool,
    ) -> Option<Reply> {
        let wanted = Power::of(sent);
        let pool = self.pools.get(name)?;
        if Power::of(&pool.properties) == wanted {
            return None;
        }
        let operation = self.turn(now, name, wanted);
        let body = self.pools.get(name)?.body(&self.cluster_id(), with_etag);
        Some(Reply {
            status: 200,
            body: Some(body),
            operation: Some(operation),
            location: false,
        })
    }

    /// Stops the cluster with every pool, or starts it.
    pub(crate) fn turn_cluster(&mut self, now: Duration, stopped: bool) {
        if self.state.stopped == stopped {
            return;
        }
        let names: Vec<String> = self.pools.keys().cloned().collect();
        for name in names {
            self.turn_pool(now, &name, stopped);
        }
        self.state.stopped = stopped;
    }

    /// Stops or starts a pool on which no operation runs.
    pub(super) fn turn_pool(&mut self, now: Duration, name: &str, stopped: bool) {
        let power = if stopped { Power::Stopped } else { Power::Running };
        let differs = |pool: &&super::pool::Pool| !pool.is_busy() && Power::of(&pool.properties) != power;
        if self.pools.get(name).filter(differs).is_some() {
            self.turn(now, name, power);
        }
    }

    fn turn(&mut self, now: Duration, name: &str, power: Power) -> (String, String) {
        let lasting = self.lasting(self.behavior.update_ms);
        let (id, seal) = self.start_operation(now);
        let etag = self.ids.guid();
        let boots = self.boot_time(name, now, now + lasting);
        if let Some(pool) = self.pools.get_mut(name) {
            let word = if power == Power::Stopped {
                "Stopping"
            } else {
                "Starting"
            };
            (pool.state, pool.etag) = (word.to_owned(), etag);
            pool.properties
                .insert("powerState".to_owned(), json!({"code": power.word()}));
            pool.boot_at = boots.filter(|_| power == Power::Running);
            pool.running = Some(Running {
                operation: id.clone(),
                ends_at: Some(now + lasting),
                ending: Ending::Succeed,
            });
        }
        if power == Power::Stopped {
            self.drop_nodes(name, now);
        }
        (id, seal)
    }

    /// Returns true if a disruption budget holds a pod on the nodes of a pool.
    pub(super) fn is_held_by_budget(&self, name: &str) -> bool {
        let held = &self.behavior.held_by_budget;
        held.iter().any(|pattern| pattern::fits(pattern, name))
    }
}

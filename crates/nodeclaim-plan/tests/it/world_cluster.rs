//! A small cloud and a small cluster for the world of tests: pools that take time, Nodes that follow them,
//! pods that go when asked. Knows nothing of planners.

use std::collections::BTreeMap;

use cloudprovider::{ErrorClass, Instance, InstanceState, LaunchSpec, Ownership, ProviderError};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::fixtures::{NAME, PROVIDER_ID, error, merged, new_node};

/// What becomes of the next pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeeds,
    Fails(ErrorClass),
    NeverJoins,
    NeverEnds,
}

/// One pool as the cloud has it.
#[derive(Clone, Debug)]
pub(crate) struct CloudPool {
    pub(crate) pool: Instance,
    pub(crate) since: Timestamp,
    pub(crate) fate: Fate,
    pub(crate) serial: u32,
}

/// Everything outside the planner.
#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) pools: BTreeMap<String, CloudPool>,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) pods: BTreeMap<String, Pod>,
    /// Fates of pools to come; then all succeed.
    pub(crate) fates: Vec<Fate>,
    /// Requests that were taken although their answer was lost, and when they take effect.
    pub(crate) late: Vec<(Timestamp, LaunchSpec)>,
    pub(crate) created: u32,
    pub(crate) version: u64,
}

const CREATION: SignedDuration = SignedDuration::from_secs(200);
const DELETION: SignedDuration = SignedDuration::from_secs(50);

impl Cluster {
    pub(crate) fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// Takes the request; refuses a pool that exists.
    pub(crate) fn create(&mut self, now: Timestamp, spec: &LaunchSpec) -> Result<Instance, ProviderError> {
        if self.pools.contains_key(&spec.name) {
            return Err(error(ErrorClass::Precondition, "PreconditionFailed", "it exists"));
        }
        self.created += 1;
        let fate = if self.fates.is_empty() {
            Fate::Succeeds
        } else {
            self.fates.remove(0)
        };
        let pool = Instance {
            version: Some(self.next_version()),
            ..Instance::launching(spec)
        };
        let cloud_pool = CloudPool {
            pool: pool.clone(),
            since: now,
            fate,
            serial: self.created,
        };
        self.pools.insert(spec.name.clone(), cloud_pool);
        Ok(pool)
    }

    /// A pool that is there without our asking; its Node may already have joined.
    pub(crate) fn adopt(&mut self, now: Timestamp, pool: Instance) {
        let fate = if pool.owner == Ownership::Foreign {
            Fate::NeverJoins
        } else {
            Fate::Succeeds
        };
        let version = Some(self.next_version());
        let name = pool.name.clone();
        let pool = CloudPool {
            pool: Instance { version, ..pool },
            since: now,
            fate,
            serial: 99,
        };
        self.pools.insert(name, pool);
    }

    /// Takes the request; a pool that is being made is busy.
    pub(crate) fn delete(
        &mut self,
        now: Timestamp,
        name: &str,
        version: Option<&str>,
    ) -> Result<(), ProviderError> {
        let next = self.next_version();
        let Some(pool) = self.pools.get_mut(name) else {
            return Err(error(ErrorClass::NotFound, "NotFound", ""));
        };
        if version.is_some() && version != pool.pool.version.as_deref() {
            return Err(error(ErrorClass::Precondition, "EtagMismatch", ""));
        }
        if pool.pool.state == InstanceState::Creating {
            return Err(error(ErrorClass::Busy, "OperationNotAllowed", "in progress"));
        }
        pool.enter(now, InstanceState::Deleting, next);
        Ok(())
    }

    /// Cancels a making.
    pub(crate) fn abort(&mut self, now: Timestamp, name: &str) -> Result<(), ProviderError> {
        let version = self.next_version();
        match self.pools.get_mut(name) {
            Some(pool) if pool.pool.state == InstanceState::Creating => {
                pool.enter(now, InstanceState::Canceled, version);
                Ok(())
            }
            Some(_) => Err(error(ErrorClass::Invalid, "NothingToAbort", "")),
            None => Err(error(ErrorClass::NotFound, "NotFound", "")),
        }
    }

    /// What happened by `now`.
    pub(crate) fn age(&mut self, now: Timestamp) {
        let (due, later) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.late = later;
        for (_, spec) in due {
            let _ = self.create(now, &spec);
        }
        for name in self.pools.keys().cloned().collect::<Vec<_>>() {
            self.age_pool(now, &name);
        }
        self.age_nodes(now);
        self.pods.retain(|_, pod| {
            let deleted = pod.metadata.deletion_timestamp.as_ref();
            deleted.is_none_or(|at| now < at.0 + SignedDuration::from_secs(10))
        });
    }

    fn age_pool(&mut self, now: Timestamp, name: &str) {
        let version = self.next_version();
        let pool = self.pools.get_mut(name).unwrap();
        let age = now.duration_since(pool.since);
        match (&pool.pool.state, pool.fate) {
            (InstanceState::Deleting, _) if age >= DELETION => drop(self.pools.remove(name)),
            (InstanceState::Creating, Fate::NeverEnds) => {}
            (InstanceState::Creating, Fate::Fails(_)) if age >= CREATION => {
                pool.enter(now, InstanceState::Failed, version);
            }
            (InstanceState::Creating | InstanceState::Changing(_), _) if age >= CREATION => {
                pool.enter(now, InstanceState::Succeeded, version);
            }
            _ => {}
        }
    }

    /// Nodes join with their pool, get ready, and are removed when their instance is gone.
    fn age_nodes(&mut self, now: Timestamp) {
        let joined: Vec<(String, u32, bool)> = self
            .pools
            .values()
            .filter(|pool| pool.pool.state == InstanceState::Succeeded && pool.fate == Fate::Succeeds)
            .map(|pool| {
                let ready = now.duration_since(pool.since) >= SignedDuration::from_secs(20);
                (format!("node-{}", pool.serial), pool.serial, ready)
            })
            .collect();
        for (name, serial, ready) in &joined {
            if !self.nodes.contains_key(name) {
                let node = self.fresh_node(name, *serial);
                self.nodes.insert(name.clone(), node);
            }
            if *ready {
                let node = self.nodes.get_mut(name).unwrap();
                node.status = new_node().status;
            }
        }
        let alive = |name: &String| {
            let serial = |pool: &CloudPool| format!("node-{}", pool.serial) == *name;
            self.pools.values().any(serial)
        };
        let dead: Vec<String> = self.nodes.keys().filter(|name| !alive(name)).cloned().collect();
        for name in dead {
            self.delete_node(now, &name);
        }
    }

    fn fresh_node(&mut self, name: &str, serial: u32) -> Node {
        let mut node = new_node();
        node.metadata.name = Some(name.to_owned());
        node.metadata.uid = Some(format!("uid-{name}"));
        node.metadata.resource_version = Some(self.next_version());
        node.spec.as_mut().unwrap().provider_id = Some(format!("{PROVIDER_ID}{serial}"));
        node.status = None;
        assert!(
            node.metadata
                .labels
                .as_ref()
                .unwrap()
                .values()
                .any(|value| value == NAME)
        );
        node
    }

    /// Deletes a Node; finalizers hold it.
    pub(crate) fn delete_node(&mut self, now: Timestamp, name: &str) {
        let version = self.next_version();
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        if node.metadata.finalizers.iter().flatten().next().is_none() {
            self.nodes.remove(name);
            self.pods
                .retain(|_, pod| pod.spec.as_ref().unwrap().node_name.as_deref() != Some(name));
        } else if node.metadata.deletion_timestamp.is_none() {
            node.metadata.deletion_timestamp = Some(Time(now));
            node.metadata.resource_version = Some(version);
        }
    }

    /// Patches a Node, unless it has changed since.
    pub(crate) fn patch_node(
        &mut self,
        now: Timestamp,
        name: &str,
        version: &str,
        body: &serde_json::Value,
    ) -> bool {
        let next = self.next_version();
        let Some(node) = self.nodes.get_mut(name) else {
            return false;
        };
        if node.metadata.resource_version.as_deref() != Some(version) {
            return false;
        }
        *node = merged(node, body);
        *node = merged(node, &json!({"metadata": {"resourceVersion": next}}));
        if node.metadata.deletion_timestamp.is_some() {
            self.delete_node(now, name);
        }
        true
    }
}

impl CloudPool {
    fn enter(&mut self, now: Timestamp, state: InstanceState, version: String) {
        self.pool.state = state;
        self.pool.version = Some(version);
        self.since = now;
    }
}

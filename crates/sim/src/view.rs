//! The caches of a program: typed objects, each kind as far behind the API server as its watch is.
//!
//! A cache never goes back in time. An unreadable object keeps its last readable form.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::{Claim, Machine, NodeClaim, Workspace};
use plan::{Kind, ObjectRef, PendingWrite};
use serde_json::Value;

use crate::api_server::{self, ApiServer};

/// One object as a program reads it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each variant is the kind it is named after")]
pub enum Typed {
    Workspace(Arc<Workspace>),
    Machine(Arc<Machine>),
    NodeClaim(Arc<NodeClaim>),
    ConfigMap(Arc<ConfigMap>),
    NetworkPolicy(Arc<NetworkPolicy>),
    ControllerRevision(Arc<ControllerRevision>),
    Service(Arc<Service>),
    Deployment(Arc<Deployment>),
    StatefulSet(Arc<StatefulSet>),
    Job(Arc<Job>),
    PersistentVolumeClaim(Arc<PersistentVolumeClaim>),
    Node(Arc<Node>),
    Pod(Arc<Pod>),
    Event(Arc<Event>),
}

macro_rules! readers {
    ($($name:ident $all:ident $kind:ident),+ $(,)?) => {
        fn read(kind: Kind, value: &Value) -> Option<Typed> {
            use serde::Deserialize as _;
            match kind { $(Kind::$kind => $kind::deserialize(value).ok().map(|o| Typed::$kind(Arc::new(o))),)+ }
        }

        impl Typed {
            /// Metadata of the object.
            #[must_use]
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Self::$kind(object) => &object.metadata,)+ }
            }
        }

        impl View { $(
            /// Returns the object of this name, if the cache contains it.
            #[must_use]
            pub fn $name(&self, namespace: &str, name: &str) -> Option<Arc<$kind>> {
                match self.objects.get(&crate::api_server::key(Kind::$kind, namespace, name)) {
                    Some(Typed::$kind(object)) => Some(Arc::clone(object)),
                    _ => None,
                }
            }

            /// Iterates over the cached objects of the kind.
            pub fn $all(&self) -> impl Iterator<Item = &Arc<$kind>> {
                self.of_kind(Kind::$kind).filter_map(|object| match object {
                    Typed::$kind(object) => Some(object),
                    _ => None,
                })
            }
        )+ }
    };
}

readers!(
    workspace workspaces Workspace, machine machines Machine,
    node_claim node_claims NodeClaim, config_map config_maps ConfigMap,
    network_policy network_policies NetworkPolicy,
    controller_revision controller_revisions ControllerRevision,
    service services Service, deployment deployments Deployment, stateful_set stateful_sets StatefulSet,
    job jobs Job, volume_claim volume_claims PersistentVolumeClaim, node nodes Node, pod pods Pod, event events Event,
);

/// One change of a cached object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Key of the object.
    pub key: ObjectRef,
    /// The object before the change.
    pub old: Option<Typed>,
    /// The object after the change.
    pub new: Option<Typed>,
}

/// The caches of one program.
#[derive(Clone, Debug)]
pub struct View {
    objects: BTreeMap<ObjectRef, Typed>,
    /// By kind, the number of the server's events that were taken in.
    cursors: BTreeMap<Kind, usize>,
    /// By kind, the highest resource version that was shown.
    latest: BTreeMap<Kind, u64>,
}

impl View {
    /// Returns caches of these kinds that have just listed everything.
    #[must_use]
    pub fn listed(api: &ApiServer, kinds: &[Kind]) -> Self {
        let mut view = Self {
            objects: BTreeMap::new(),
            cursors: BTreeMap::new(),
            latest: BTreeMap::new(),
        };
        for kind in kinds {
            view.cursors.insert(*kind, api.events().len());
            for (key, value) in api.list(*kind) {
                view.take(key, Some(value), api.version_of(key));
            }
        }
        view
    }

    /// Iterates over the cached claims of both kinds.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        let machines = self.machines().map(|machine| Claim::from(Arc::clone(machine)));
        machines.chain(self.node_claims().map(|claim| Claim::from(Arc::clone(claim))))
    }

    /// The claims of a name: at most one of each kind.
    #[must_use]
    pub fn claims_named(&self, name: &str) -> Vec<Claim> {
        let machine = self.machine("", name).map(Claim::from);
        let node_claim = self.node_claim("", name).map(Claim::from);
        machine.into_iter().chain(node_claim).collect()
    }

    /// Takes in events of one kind, all but the last `behind`, and returns the changes.
    pub fn advance(&mut self, api: &ApiServer, kind: Kind, behind: usize) -> Vec<Change> {
        let Some(cursor) = self.cursors.get(&kind).copied() else {
            return Vec::new();
        };
        let news: Vec<(usize, &api_server::Event)> = api
            .events()
            .iter()
            .enumerate()
            .skip(cursor)
            .filter(|(_, event)| event.key.kind == kind)
            .collect();
        let taken = news.len().saturating_sub(behind);
        let reached = match news.get(taken) {
            Some((index, _)) => *index,
            None => api.events().len(),
        };
        self.cursors.insert(kind, reached);
        news.into_iter()
            .take(taken)
            .map(|(_, event)| self.take(&event.key, event.value.as_ref(), event.version))
            .collect()
    }

    /// Reports whether the caches show this write. A write of a kind without a watch counts as shown.
    #[must_use]
    pub fn shows(&self, write: &PendingWrite) -> bool {
        if !self.cursors.contains_key(&write.kind()) {
            return true;
        }
        match write {
            PendingWrite::Version { kind, version } => {
                self.latest.get(kind).is_some_and(|latest| latest >= version)
            }
            PendingWrite::Deleted { target, uid } => {
                let meta = self.objects.get(target).map(Typed::metadata);
                !meta
                    .is_some_and(|meta| meta.uid.as_deref() == Some(uid) && meta.deletion_timestamp.is_none())
            }
        }
    }

    /// Returns true if the caches show everything.
    #[must_use]
    pub fn is_current(&self, api: &ApiServer) -> bool {
        self.cursors.iter().all(|(kind, cursor)| {
            api.events()
                .get(*cursor..)
                .unwrap_or_default()
                .iter()
                .all(|event| event.key.kind != *kind)
        })
    }

    fn take(&mut self, key: &ObjectRef, value: Option<&Arc<Value>>, version: u64) -> Change {
        let latest = self.latest.entry(key.kind).or_default();
        *latest = version.max(*latest);
        let old = self.objects.get(key).cloned();
        match value {
            None => {
                self.objects.remove(key);
            }
            Some(value) => {
                if let Some(object) = read(key.kind, value) {
                    self.objects.insert(key.clone(), object);
                }
            }
        }
        Change {
            key: key.clone(),
            old,
            new: self.objects.get(key).cloned(),
        }
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Typed> {
        let start = ObjectRef {
            kind,
            namespace: None,
            name: String::new(),
        };
        self.objects
            .range(start..)
            .take_while(move |(key, _)| key.kind == kind)
            .map(|(_, object)| object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api_server::key;

    #[test]
    fn a_cache_lags_by_kind_and_never_goes_back() {
        let mut api = ApiServer::new(jiff::Timestamp::UNIX_EPOCH);
        let mut view = View::listed(&api, &[Kind::Machine, Kind::ConfigMap]);
        for name in ["a", "b", "c"] {
            api.create("t", &key(Kind::Machine, "", name), json!({"spec": {}}))
                .unwrap();
            api.create("t", &key(Kind::ConfigMap, "d", name), json!({}))
                .unwrap();
        }
        assert_eq!(view.advance(&api, Kind::Machine, 1).len(), 2);
        assert_eq!(view.machines().count(), 2);
        assert_eq!(view.config_maps().count(), 0);
        assert_eq!(view.advance(&api, Kind::Machine, 2).len(), 0);
        assert_eq!(view.machines().count(), 2);
        assert!(!view.is_current(&api));
        view.advance(&api, Kind::Machine, 0);
        view.advance(&api, Kind::ConfigMap, 0);
        assert!(view.is_current(&api));
    }
}

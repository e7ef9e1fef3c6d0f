//! What a program's stores show of the API server: typed objects, each kind as far behind as its watch is.
//!
//! A store never goes back in time. Objects that cannot be read keep their last readable form.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use kaito_api::{Claim, Machine, NodeClaim, Workspace};
use plan::{Kind, ObjectRef};
use serde_json::Value;

use crate::api_server::{ApiServer, Event};

/// One object as a program reads it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each variant is the kind it is named after")]
pub enum Typed {
    Workspace(Arc<Workspace>),
    Machine(Arc<Machine>),
    NodeClaim(Arc<NodeClaim>),
    ConfigMap(Arc<ConfigMap>),
    Service(Arc<Service>),
    Deployment(Arc<Deployment>),
    StatefulSet(Arc<StatefulSet>),
    Job(Arc<Job>),
    Node(Arc<Node>),
    Pod(Arc<Pod>),
}

macro_rules! readers {
    ($($name:ident $all:ident $kind:ident),+ $(,)?) => {
        fn read(kind: Kind, value: &Value) -> Option<Typed> {
            use serde::Deserialize as _;
            match kind { $(Kind::$kind => $kind::deserialize(value).ok().map(|o| Typed::$kind(Arc::new(o))),)+ }
        }

        impl View { $(
            /// The object of this name, if the store shows it.
            #[must_use]
            pub fn $name(&self, namespace: &str, name: &str) -> Option<Arc<$kind>> {
                match self.objects.get(&crate::api_server::key(Kind::$kind, namespace, name)) {
                    Some(Typed::$kind(object)) => Some(Arc::clone(object)),
                    _ => None,
                }
            }

            /// Every object of the kind that the store shows.
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
    service services Service, deployment deployments Deployment, stateful_set stateful_sets StatefulSet,
    job jobs Job, node nodes Node, pod pods Pod,
);

/// The stores of one program.
#[derive(Clone, Debug)]
pub struct View {
    objects: BTreeMap<ObjectRef, Typed>,
    /// By kind, how many of the server's events were taken in.
    cursors: BTreeMap<Kind, usize>,
}

impl View {
    /// Stores of these kinds that have just listed everything.
    #[must_use]
    pub fn listed(api: &ApiServer, kinds: &[Kind]) -> Self {
        let mut view = Self {
            objects: BTreeMap::new(),
            cursors: BTreeMap::new(),
        };
        for kind in kinds {
            view.cursors.insert(*kind, api.events().len());
            for (key, value) in api.list(*kind) {
                view.take(key, Some(value));
            }
        }
        view
    }

    /// Every claim of either kind that the stores show.
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

    /// Takes in events of one kind, all but the last `behind`; returns the objects that they touched.
    pub fn advance(&mut self, api: &ApiServer, kind: Kind, behind: usize) -> Vec<ObjectRef> {
        let Some(cursor) = self.cursors.get(&kind).copied() else {
            return Vec::new();
        };
        let news: Vec<(usize, &Event)> = api
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
        let mut touched = Vec::new();
        for (_, event) in news.into_iter().take(taken) {
            self.take(&event.key, event.value.as_ref());
            touched.push(event.key.clone());
        }
        touched
    }

    /// Whether everything that happened before event `index` to objects of this kind is shown.
    #[must_use]
    pub fn shows(&self, kind: Kind, index: usize) -> bool {
        self.cursors.get(&kind).is_none_or(|cursor| *cursor >= index)
    }

    /// Whether nothing at all is missing.
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

    fn take(&mut self, key: &ObjectRef, value: Option<&Arc<Value>>) {
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
    fn a_store_lags_by_kind_and_never_goes_back() {
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

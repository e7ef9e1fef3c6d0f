//! Goals of a world: everything ready, nothing written, or nothing left.

use cloudprovider::{Instance, Ownership};
use instance_types::{Catalog, Cloud};
use kaito_api::labels::{
    GPU_PROVISIONER, WORKSPACE, WORKSPACE_CONTROLLER, WORKSPACE_NAMESPACE, WORKSPACE_UID,
};
use plan::{Kind, ObjectRef};
use serde_json::Value;
use workspace_plan::NodeRetention;

use super::World;
use crate::api_server::{is_deleting, key, shown};
use crate::json;
use crate::kubelet::karpenter::offerings;

impl World {
    /// Returns the first object that is not as its owner wants it, with the reason.
    #[must_use]
    pub fn unsettled(&self) -> Option<String> {
        for (key, value) in self.api.list(Kind::Workspace).chain(self.managed_claims()) {
            if is_deleting(value) {
                return Some(format!("{} is being deleted", shown(key)));
            }
        }
        for (key, value) in self.api.list(Kind::Workspace) {
            let state = json::text(value, &["status", "state"]);
            let waits = || waits_for_room(value) && self.lacks_room(key, value);
            if !["Ready", "Succeeded"].contains(&state) && !waits() {
                return Some(format!("{} is {state:?}: {}", shown(key), conditions(value)));
            }
        }
        for (key, value) in self.managed_claims() {
            if !is_ready(value) {
                return Some(format!("{} is not ready: {}", shown(key), conditions(value)));
            }
        }
        let unclaimed = self.unclaimed_pool();
        let unclaimed = unclaimed.map(|name| format!("instance {name} has no claim"));
        // A claim whose machine has just died stays ready until its Node is not.
        let ill = || {
            self.cloud
                .pools()
                .find(|pool| is_ours(pool) && !self.kubelet.is_healthy(&pool.name))
        };
        unclaimed.or_else(|| ill().map(|pool| format!("the machine of instance {} is ill", pool.name)))
    }

    /// Returns a claim that is to be given back: its Workspace is gone, or its tuning has ended. Nodes that come back
    /// make room for those who wait for it.
    #[must_use]
    pub fn surplus_claim(&self) -> Option<String> {
        self.workspaces.as_ref()?;
        let gives_back = matches!(self.setup.workspaces.tuning_node_retention, NodeRetention::For(_));
        self.managed_claims().find_map(|(key, claim)| {
            let uid = json::text(claim, &["metadata", "labels", WORKSPACE_UID]);
            let owner = self
                .api
                .list(Kind::Workspace)
                .find(|(_, workspace)| json::text(workspace, &["metadata", "uid"]) == uid);
            match owner {
                _ if uid.is_empty() || json::text(claim, &["metadata", "labels", "by"]) == "user" => None,
                None => Some(format!("{} has no Workspace", shown(key))),
                Some((_, owner)) if gives_back && json::text(owner, &["status", "state"]) == "Succeeded" => {
                    Some(format!("{} is not given back", shown(key)))
                }
                Some(_) => None,
            }
        })
    }

    /// Returns an object or a pool that the programs created and that still exists.
    #[must_use]
    pub fn leftover(&self) -> Option<String> {
        let object = self.api.all().find(|(key, value)| match key.kind {
            Kind::Workspace => true,
            Kind::Machine | Kind::NodeClaim | Kind::Node => is_managed(key.kind, value),
            Kind::Pod => key.namespace.as_deref() != Some("kube-system") && is_owned(value),
            _ => is_owned(value),
        });
        let pool = self.cloud.pools().find(|pool| is_ours(pool));
        object
            .map(|(key, _)| shown(key))
            .or_else(|| pool.map(|pool| format!("instance {}", pool.name)))
    }

    /// Number of writes and requests of the programs so far.
    #[must_use]
    pub fn work_done(&self) -> usize {
        let ours = [WORKSPACE_CONTROLLER, GPU_PROVISIONER];
        let writes = self
            .api
            .log()
            .iter()
            .filter(|line| ours.contains(&line.actor))
            .count();
        writes + self.cloud.requests().len()
    }

    /// Returns an object that lost a field of a user or of a later version.
    #[must_use]
    pub fn lost_field(&self) -> Option<String> {
        let kept = |kind: Kind, value: &Value| match kind {
            Kind::Workspace => json::text(value, &["resource", "futureField"]) == "kept" && is_noted(value),
            Kind::Machine | Kind::NodeClaim => {
                json::text(value, &["metadata", "labels", "by"]) != "user"
                    || json::text(value, &["spec", "futureField"]) == "kept" && is_noted(value)
            }
            _ => json::at(value, &["status", "futureField", "kept"]) == Some(&Value::Bool(true)),
        };
        let all = [Kind::Workspace, Kind::Machine, Kind::NodeClaim, Kind::Node]
            .into_iter()
            .flat_map(|kind| self.api.list(kind));
        all.filter(|(key, _)| !["theirs", "karpenters"].contains(&key.name.as_str()))
            .find(|(key, value)| !kept(key.kind, value))
            .map(|(k, _)| shown(k))
    }

    /// Iterates over the claims that the provisioner and the world's Karpenter serve.
    pub fn managed_claims(&self) -> impl Iterator<Item = (&ObjectRef, &std::sync::Arc<Value>)> {
        let all = [Kind::Machine, Kind::NodeClaim].into_iter();
        all.flat_map(|kind| self.api.list(kind))
            .filter(|(key, value)| is_managed(key.kind, value))
    }

    /// Returns true if the claims of the Workspace's own namespace leave no room for the most nodes that it may take.
    /// Those of another namespace do not count.
    fn lacks_room(&self, key: &ObjectRef, workspace: &Value) -> bool {
        let in_namespace = |claim: &Value| {
            Some(json::text(claim, &["metadata", "labels", WORKSPACE_NAMESPACE])) == key.namespace.as_deref()
        };
        let claims = self.managed_claims().filter(|(_, claim)| in_namespace(claim));
        let prices: Vec<u64> = claims
            .map(|(_, claim)| price_of(&offerings::instance_type(claim)))
            .collect();
        let uid = json::text(workspace, &["metadata", "uid"]);
        let more = self.ledger.slots.get(uid).copied().unwrap_or_default();
        let rungs = json::text(workspace, &["resource", "instanceType"]).split(',');
        let dearest = rungs.map(price_of).max().unwrap_or_default();
        let price = prices.iter().sum::<u64>() + dearest * u64::try_from(more).unwrap_or(u64::MAX);
        let ceiling = self.setup.workspaces.ceilings.namespace;
        let lacks = |limit: u32| prices.len() + more > usize::try_from(limit).unwrap_or(usize::MAX);
        ceiling.nodes.is_some_and(lacks) || ceiling.usd_per_hour.is_some_and(|limit| price > limit.micros())
    }

    fn unclaimed_pool(&self) -> Option<String> {
        let claimed = |uid: &str, name: &str| {
            [Kind::Machine, Kind::NodeClaim].iter().any(|kind| {
                let claim = self.api.get(&key(*kind, "", name));
                claim.is_some_and(|claim| json::text(claim, &["metadata", "uid"]) == uid)
            })
        };
        self.cloud
            .pools()
            .find(|pool| match &pool.owner {
                Ownership::Ours { claim_uid } => !claimed(claim_uid, &pool.name),
                Ownership::Upstream | Ownership::Foreign => false,
            })
            .map(|pool| pool.name.clone())
    }
}

/// List price of a node in millionths of a US dollar per hour; 0 if it is unknown.
pub(super) fn price_of(instance_type: &str) -> u64 {
    let catalog = Catalog::embedded().ok();
    let known = catalog.and_then(|catalog| catalog.lookup(Cloud::Azure, instance_type));
    let price = known.and_then(|known| known.list_price.as_ref());
    price.map_or(0, |price| price.usd_micros_per_hour)
}

/// Returns true if a ceiling keeps the Workspace from its nodes.
fn waits_for_room(workspace: &Value) -> bool {
    json::list(workspace, &["status", "conditions"])
        .iter()
        .any(|c| json::text(c, &["reason"]) == "SpendingCeilingExceeded")
}

/// Returns the conditions that are not true.
fn conditions(value: &Value) -> String {
    let all = json::list(value, &["status", "conditions"]);
    let shown = all
        .iter()
        .filter(|c| json::text(c, &["status"]) != "True")
        .map(|c| {
            let part = |name: &str| json::text(c, &[name]).to_owned();
            format!("{} {}: {}", part("type"), part("reason"), part("message"))
        });
    shown.collect::<Vec<_>>().join("; ")
}

fn is_noted(value: &Value) -> bool {
    json::text(value, &["metadata", "annotations", "example.com/note"]) == "kept"
}

fn is_managed(kind: Kind, value: &Value) -> bool {
    let of_karpenter = match kind {
        Kind::NodeClaim => {
            let group = json::text(value, &["spec", "nodeClassRef", "group"]);
            group != "kaito.sh" && !crate::kubelet::karpenter::is_its(value)
        }
        _ => !json::text(value, &["metadata", "labels", "karpenter.azure.com/aksnodeclass"]).is_empty(),
    };
    !of_karpenter && !json::text(value, &["metadata", "labels", WORKSPACE]).is_empty()
}

fn is_owned(value: &Value) -> bool {
    !json::list(value, &["metadata", "ownerReferences"]).is_empty()
}

fn is_ready(claim: &Value) -> bool {
    json::list(claim, &["status", "conditions"])
        .iter()
        .any(|c| json::text(c, &["type"]) == "Ready" && json::text(c, &["status"]) == "True")
}

fn is_ours(pool: &Instance) -> bool {
    matches!(pool.owner, Ownership::Ours { .. })
}

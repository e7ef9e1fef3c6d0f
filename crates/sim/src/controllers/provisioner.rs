//! The gpu-provisioner's shell: observes claims and orphaned Nodes, lists pools, collects garbage.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::{CloudCall, InstanceTracker, PoolLookup};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::ClaimConditionType;
use kaito_api::{Claim, labels};
use nodeclaim_plan::{Observed, Settings};
use plan::{Kind, ObjectRef};

use super::own_writes::OwnWrites;
use super::{Fuse, Halt, Program, pools};
use crate::api_server::{ApiServer, key};
use crate::cloud::Cloud;
use crate::view::View;

/// The shell and everything that a restart loses.
#[derive(Clone, Debug)]
pub struct Provisioner {
    /// The planner's settings.
    pub settings: Settings,
    /// What its stores show.
    pub view: View,
    /// The cloud as it knows it.
    pub tracker: InstanceTracker,
    /// What it wrote.
    pub own_writes: OwnWrites,
    /// Passes that failed in a row, by object.
    pub failures: BTreeMap<ObjectRef, u32>,
}

impl Provisioner {
    /// A freshly started program.
    #[must_use]
    pub fn start(settings: Settings, api: &ApiServer) -> Self {
        Self {
            settings,
            view: View::listed(api, Program::Provisioner.kinds()),
            tracker: InstanceTracker::default(),
            own_writes: OwnWrites::default(),
            failures: BTreeMap::new(),
        }
    }

    /// Everything about one claim; true with it when a listing is wanted. `None` when the store has it not.
    pub fn observe(&mut self, key: &ObjectRef, now: Timestamp) -> Option<(Observed, bool)> {
        let name = key.name.as_str();
        let claim = self
            .named(name)
            .into_iter()
            .find(|claim| Kind::from(claim.claim_kind()) == key.kind)?;
        let yields = self
            .named(name)
            .iter()
            .any(|other| nodeclaim_plan::managed::yields_to(&claim, other));
        let facts = if yields {
            self.tracker.view_of_other(name)
        } else {
            self.tracker.view(name, claim.uid(), now)
        };
        let nodes: Vec<Arc<Node>> = self
            .view
            .nodes()
            .filter(|node| is_of(node, &claim, name))
            .map(Arc::clone)
            .collect();
        let leaving = claim.metadata().deletion_timestamp.is_some()
            || nodes
                .iter()
                .any(|node| node.metadata.deletion_timestamp.is_some());
        let on_nodes = |pod: &k8s_openapi::api::core::v1::Pod| {
            let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            nodes.iter().any(|node| node.metadata.name.as_deref() == bound)
        };
        let pods = if leaving {
            self.view
                .pods()
                .filter(|pod| on_nodes(pod))
                .map(Arc::clone)
                .collect()
        } else {
            Vec::new()
        };
        let observed = Observed {
            claim,
            pool: facts.lookup,
            nodes,
            pods,
            attachments: Vec::new(),
            last_call: facts.last_call,
            failure: facts.failure,
            yields,
        };
        Some((observed, facts.is_new))
    }

    /// The claims of a name: at most one of each kind.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<Claim> {
        let machine = self.view.machine("", name).map(Claim::from);
        machine
            .into_iter()
            .chain(self.view.node_claim("", name).map(Claim::from))
            .collect()
    }

    /// A Node, whether its claim is there, and what is known of its pool.
    #[must_use]
    pub fn observe_node(&self, name: &str) -> Option<(Arc<Node>, bool, PoolLookup)> {
        let node = self.view.node("", name)?;
        let pool = pool_name(&node);
        let exists = !self.named(&pool).is_empty();
        let lookup = if pool.is_empty() {
            PoolLookup::Unknown
        } else {
            self.tracker.lookup(&pool)
        };
        Some((node, exists, lookup))
    }

    /// Lists pools; returns the claims to look at, or `None` when the listing failed.
    pub fn list(&mut self, now: Timestamp, cloud: &mut Cloud) -> Option<Vec<ObjectRef>> {
        let touched = cloud.list().ok().map(|all| self.tracker.on_list(now, all));
        let unsettled = self.unsettled();
        let touched: Vec<Claim> = touched?.iter().flat_map(|name| self.named(name)).collect();
        Some(touched.iter().map(key_of).chain(unsettled).collect())
    }

    /// Claims that wait for something.
    #[must_use]
    pub fn unsettled(&self) -> Vec<ObjectRef> {
        self.view
            .claims()
            .filter(|claim| nodeclaim_plan::managed::is_managed(claim) && !is_settled(claim))
            .map(|claim| key_of(&claim))
            .collect()
    }

    /// Deletes pools that nobody claims; tells which.
    ///
    /// # Errors
    /// `Crashed`.
    pub fn collect(
        &mut self,
        now: Timestamp,
        api: &ApiServer,
        cloud: &mut Cloud,
        fuse: &mut Fuse,
    ) -> Result<Vec<CloudCall>, Halt> {
        let claims: Vec<Claim> = self.view.claims().collect();
        let calls = nodeclaim_plan::garbage::collect(
            now,
            &self.tracker.instances(),
            &claims,
            self.tracker.first_seen(),
            &self.settings,
        );
        let mut done = Vec::new();
        for call in calls {
            let kinds = [Kind::Machine, Kind::NodeClaim];
            if kinds
                .iter()
                .all(|kind| api.get(&key(*kind, "", call.pool())).is_none())
            {
                pools::carry_out(&mut self.tracker, now, &call, cloud, fuse)?;
                done.push(call);
            }
        }
        Ok(done)
    }
}

/// The pool that a Node's labels name.
#[must_use]
pub fn pool_name(node: &Node) -> String {
    let all = node.metadata.labels.as_ref();
    let label = |key: &str| all.and_then(|labels| labels.get(key)).cloned();
    label(labels::AGENT_POOL)
        .or_else(|| label(labels::AKS_AGENT_POOL))
        .unwrap_or_default()
}

fn key_of(claim: &Claim) -> ObjectRef {
    key(claim.claim_kind().into(), "", claim.name())
}

fn is_of(node: &Node, claim: &Claim, name: &str) -> bool {
    let recorded = claim.provider_id();
    let id = node
        .spec
        .as_ref()
        .and_then(|spec| spec.provider_id.as_deref())
        .unwrap_or_default();
    pool_name(node) == name || (!recorded.is_empty() && recorded == id)
}

fn is_settled(claim: &Claim) -> bool {
    let finalizers = claim.metadata().finalizers.as_deref().unwrap_or_default();
    let protected = finalizers.iter().any(|f| f == labels::TERMINATION_FINALIZER);
    let live = claim.metadata().deletion_timestamp.is_none();
    claim.is_true(ClaimConditionType::Ready) && protected && live
}

//! The gpu-provisioner's shell: observes claims and orphaned Nodes, lists pools, collects garbage.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::{CloudCall, InstanceTracker};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::Claim;
use nodeclaim_plan::garbage::MAX_DELETIONS;
use nodeclaim_plan::observe::{instance_names, is_unsettled, observe_node};
use nodeclaim_plan::{Observed, ObservedNode, Settings, Source};
use plan::{Kind, ObjectRef, PendingWrites};

use super::{Fuse, Halt, Program, pools};
use crate::api_server::{ApiServer, key};
use crate::cloud::Cloud;
use crate::json;
use crate::view::View;

/// The shell and everything that a restart loses.
#[derive(Clone, Debug)]
pub struct Provisioner {
    /// The planner's settings.
    pub settings: Settings,
    /// Its caches.
    pub view: View,
    /// The cloud as it knows it.
    pub tracker: InstanceTracker,
    /// Its own writes that the caches do not show yet.
    pub pending_writes: PendingWrites<ObjectRef, Timestamp>,
    /// Failed reconciles in a row, by object.
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
            pending_writes: PendingWrites::default(),
            failures: BTreeMap::new(),
        }
    }

    /// Gathers everything about one claim; `None` if the cache does not contain it.
    pub fn observe(&mut self, key: &ObjectRef, now: Timestamp) -> Option<Observed> {
        let mut named = self.view.claims_named(&key.name).into_iter();
        let claim = named.find(|claim| Kind::from(claim.claim_kind()) == key.kind)?;
        Some(nodeclaim_plan::observe(&self.view, &mut self.tracker, claim, now))
    }

    /// Gathers what decides about one Node; `None` if the cache does not contain it.
    #[must_use]
    pub fn observe_node(&self, name: &str) -> Option<ObservedNode> {
        let node = self.view.node("", name)?;
        Some(observe_node(&self.view, &self.tracker, node))
    }

    /// Lists pools; returns the claims to look at, or `None` when the listing failed.
    pub fn list(&mut self, now: Timestamp, cloud: &mut Cloud) -> Option<Vec<ObjectRef>> {
        let touched = cloud.list().ok().map(|all| self.tracker.on_list(now, all));
        let unsettled = self.unsettled();
        let touched: Vec<Claim> = touched?
            .iter()
            .flat_map(|name| self.view.claims_named(name))
            .collect();
        Some(touched.iter().map(key_of).chain(unsettled).collect())
    }

    /// Claims that wait for something.
    #[must_use]
    pub fn unsettled(&self) -> Vec<ObjectRef> {
        self.view
            .claims()
            .filter(is_unsettled)
            .map(|claim| key_of(&claim))
            .collect()
    }

    /// Deletes pools without a claim, and returns their names.
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
        let calls = nodeclaim_plan::garbage::collect(now, &self.tracker, &claims, &self.settings);
        let mut done = Vec::new();
        for orphan in calls {
            let call = orphan.delete;
            let is_its_claim = |kind: &Kind| {
                let claim = api.get(&key(*kind, "", call.instance()));
                claim.is_some_and(|claim| json::text(claim, &["metadata", "uid"]) == orphan.claim_uid)
            };
            if done.len() < MAX_DELETIONS && ![Kind::Machine, Kind::NodeClaim].iter().any(is_its_claim) {
                pools::carry_out(&mut self.tracker, now, &call, cloud, fuse)?;
                done.push(call);
            }
        }
        Ok(done)
    }
}

fn key_of(claim: &Claim) -> ObjectRef {
    key(claim.claim_kind().into(), "", claim.name())
}

impl Source for View {
    fn claims(&self, name: &str) -> Vec<Claim> {
        self.claims_named(name)
    }

    fn nodes_of_instance(&self, name: &str) -> Vec<Arc<Node>> {
        let named = |node: &&Arc<Node>| instance_names(node).iter().any(|found| found == name);
        self.nodes().filter(named).map(Arc::clone).collect()
    }

    fn nodes_with_provider_id(&self, provider_id: &str) -> Vec<Arc<Node>> {
        let id = |node: &Node| node.spec.as_ref().and_then(|spec| spec.provider_id.clone());
        let found = self
            .nodes()
            .filter(|node| id(node).as_deref() == Some(provider_id));
        found.map(Arc::clone).collect()
    }

    fn pods_on(&self, node: &str) -> Vec<Arc<Pod>> {
        let bound = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let found = self.pods().filter(|pod| bound(pod).as_deref() == Some(node));
        found.map(Arc::clone).collect()
    }

    fn attachments_of(&self, _node: &str) -> Vec<Arc<VolumeAttachment>> {
        // No simulated pod has a volume.
        Vec::new()
    }
}

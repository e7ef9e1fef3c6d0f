//! The gpu-provisioner's shell: observes claims and orphaned Nodes, lists pools, collects garbage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloudprovider::{CloudCall, InstanceTracker, RateLimiter, RateLimits};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::{Claim, KaitoNodeClass};
use nodeclaim_plan::garbage::MAX_DELETIONS;
use nodeclaim_plan::observe::{instance_names, is_of_fleet, is_unsettled, observe_node};
use nodeclaim_plan::{Observed, ObservedNode, Settings, Source, cluster};
use plan::clock::ServerClock;
use plan::{Kind, ObjectRef, PendingWrites};

use super::pools::Caller;
use super::{Fuse, Halt, Program};
use crate::api_server::{ApiServer, key};
use crate::cloud::Cloud;
use crate::json;
use crate::reservation;
use crate::view::View;

/// The shell and everything that a restart loses.
#[derive(Clone, Debug)]
pub struct Provisioner {
    /// The planner's settings.
    pub settings: Settings,
    /// Its caches.
    pub view: View,
    /// Its clock, which follows the dates of the API server's responses.
    pub clock: ServerClock,
    /// Time of its own clock when it started, and the simulated time.
    started: (Timestamp, Timestamp),
    /// The cloud as it knows it, and its limits.
    pub caller: Caller,
    /// Its own writes that the caches do not show yet.
    pub pending_writes: PendingWrites<ObjectRef, Timestamp>,
    /// Failed reconciles in a row, by object.
    pub failures: BTreeMap<ObjectRef, u32>,
}

impl Provisioner {
    /// A freshly started program, whose machine's clock is ahead of the API server's by `skew`.
    #[must_use]
    pub fn start(
        settings: Settings,
        limits: Option<&RateLimits>,
        api: &ApiServer,
        now: Timestamp,
        skew: SignedDuration,
    ) -> Self {
        let wall = now.saturating_add(skew).unwrap_or(now);
        let mut clock = ServerClock::new(wall);
        // It lists everything first, and every response has a date.
        clock.observe(
            Timestamp::from_second(now.as_second()).unwrap_or(now),
            Duration::ZERO,
        );
        Self {
            clock,
            started: (wall, now),
            settings,
            view: View::listed(api, Program::Provisioner.kinds()),
            caller: Caller {
                tracker: InstanceTracker::default(),
                limiter: limits.cloned().map(RateLimiter::new),
            },
            pending_writes: PendingWrites::default(),
            failures: BTreeMap::new(),
        }
    }

    /// Gathers everything about one claim; `None` if the cache does not contain it.
    pub fn observe(&mut self, key: &ObjectRef, now: Timestamp, api: &ApiServer) -> Option<Observed> {
        let mut named = self.view.claims_named(&key.name).into_iter();
        let claim = named.find(|claim| Kind::from(claim.claim_kind()) == key.kind)?;
        let (steady, ahead) = (self.steady(now), self.clock.ahead_of(self.started.0));
        let mut observed = nodeclaim_plan::observe(
            &self.view,
            &mut self.caller.tracker,
            claim,
            &self.settings,
            steady,
            ahead,
        );
        if let Some(node) = nodeclaim_plan::due_node(self.time(now), &observed, &self.settings) {
            let live = api.get(&self::key(Kind::Node, "", &node));
            let live = live.and_then(|value| serde_json::from_value(serde_json::Value::clone(value)).ok());
            let clocks = (steady, ahead);
            nodeclaim_plan::authorize(
                &self.view,
                &mut self.caller.tracker,
                &mut observed,
                Some(live),
                &self.settings,
                clocks,
            );
        }
        Some(observed)
    }

    /// Time by which it plans: the API server's, as far as it knows.
    #[must_use]
    pub fn time(&self, now: Timestamp) -> Timestamp {
        self.clock.at(self.elapsed(now))
    }

    /// Time by which it orders what it sees of the cloud.
    #[must_use]
    pub fn steady(&self, now: Timestamp) -> Timestamp {
        self.started.0.saturating_add(self.elapsed(now)).unwrap_or(now)
    }

    fn elapsed(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.started.1)).unwrap_or_default()
    }

    /// Gathers what decides about one Node; `None` if the cache does not contain it.
    #[must_use]
    pub fn observe_node(&self, name: &str) -> Option<ObservedNode> {
        let node = self.view.node("", name)?;
        Some(observe_node(&self.view, &self.caller.tracker, node))
    }

    /// Lists pools; returns the claims to look at, or `None` when the listing failed.
    pub fn list(&mut self, now: Timestamp, cloud: &mut Cloud) -> Option<Vec<ObjectRef>> {
        let steady = self.steady(now);
        let touched = self.caller.list(steady, cloud);
        let unsettled = self.unsettled();
        let claims: Vec<Claim> = self.view.claims().collect();
        let conflict = cluster::first_conflict(&claims, &self.caller.tracker, &self.settings);
        self.caller.tracker.hold_launches(conflict.is_some());
        let touched: Vec<Claim> = touched
            .ok()?
            .iter()
            .flat_map(|name| self.view.claims_named(name))
            .collect();
        Some(touched.iter().map(key_of).chain(unsettled).collect())
    }

    /// Nodes whose claim is gone.
    #[must_use]
    pub fn orphaned_nodes(&self) -> Vec<ObjectRef> {
        let observed = self
            .view
            .nodes()
            .map(|node| observe_node(&self.view, &self.caller.tracker, Arc::clone(node)));
        let orphans = observed.filter(nodeclaim_plan::orphan::is_orphan);
        orphans
            .filter_map(|observed| observed.node.metadata.name.clone())
            .map(|name| key(Kind::Node, "", &name))
            .collect()
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
        let now = self.steady(now);
        let claims: Vec<Claim> = self.view.claims().collect();
        let calls = nodeclaim_plan::garbage::collect(now, &self.caller.tracker, &claims, &self.settings);
        let mut done = Vec::new();
        if self.caller.tracker.are_launches_held() {
            return Ok(done);
        }
        for orphan in calls {
            let call = orphan.delete;
            let is_its_claim = |kind: &Kind| {
                let claim = api.get(&key(*kind, "", call.instance()));
                claim.is_some_and(|claim| json::text(claim, &["metadata", "uid"]) == orphan.claim_uid)
            };
            if done.len() < MAX_DELETIONS && ![Kind::Machine, Kind::NodeClaim].iter().any(is_its_claim) {
                self.caller.carry_out(now, &call, cloud, fuse)?;
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

    fn node_classes(&self) -> Vec<String> {
        vec![reservation::CLASS.to_owned()]
    }

    fn node_class(&self, name: &str) -> Option<Arc<KaitoNodeClass>> {
        // Every simulated cluster has this class and no other.
        (name == reservation::CLASS).then(|| Arc::new(reservation::class()))
    }

    fn fleet(&self) -> Vec<Claim> {
        self.claims().filter(is_of_fleet).collect()
    }
}

//! The gpu-provisioner's shell: observes Machines and orphaned Nodes, lists pools, collects garbage.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::{CloudCall, PoolLookup};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::MachineConditionType;
use kaito_api::{Machine, labels};
use machine_plan::{Observed, Settings};
use plan::{Kind, ObjectRef};

use super::own_writes::OwnWrites;
use super::pools::Pools;
use super::{Fuse, Halt, Program};
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
    pub pools: Pools,
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
            pools: Pools::default(),
            own_writes: OwnWrites::default(),
            failures: BTreeMap::new(),
        }
    }

    /// Everything about one Machine; true with it when a listing is wanted. `None` when the store has it not.
    pub fn observe(&mut self, name: &str, now: Timestamp) -> Option<(Observed, bool)> {
        let machine = self.view.machine("", name)?;
        let (pool, new) = self
            .pools
            .view(name, machine.metadata.uid.as_deref().unwrap_or_default(), now);
        let nodes: Vec<Arc<Node>> = self
            .view
            .nodes()
            .filter(|node| is_of(node, &machine, name))
            .map(Arc::clone)
            .collect();
        let leaving = machine.metadata.deletion_timestamp.is_some()
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
        let last_call = self.pools.last_call(name);
        let failure = self.pools.failure(name);
        let observed = Observed {
            machine,
            pool,
            nodes,
            pods,
            attachments: Vec::new(),
            last_call,
            failure,
        };
        Some((observed, new))
    }

    /// A Node, whether its Machine is there, and what is known of its pool.
    #[must_use]
    pub fn observe_node(&self, name: &str) -> Option<(Arc<Node>, bool, PoolLookup)> {
        let node = self.view.node("", name)?;
        let pool = pool_name(&node);
        let exists = self.view.machine("", &pool).is_some();
        let lookup = self.pools.lookup(&pool, Timestamp::MIN);
        Some((node, exists, lookup))
    }

    /// Lists pools; returns the Machines to look at, or `None` when the listing failed.
    pub fn list(&mut self, now: Timestamp, cloud: &mut Cloud) -> Option<Vec<ObjectRef>> {
        let touched = self.pools.refresh(now, cloud);
        let unsettled = self.unsettled();
        let names = touched?.into_iter().map(|name| key(Kind::Machine, "", &name));
        Some(names.chain(unsettled).collect())
    }

    /// Machines that wait for something.
    #[must_use]
    pub fn unsettled(&self) -> Vec<ObjectRef> {
        self.view
            .machines()
            .filter(|machine| machine_plan::managed::is_managed(machine) && !is_settled(machine))
            .map(|machine| {
                key(
                    Kind::Machine,
                    "",
                    machine.metadata.name.as_deref().unwrap_or_default(),
                )
            })
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
        let (pools, first_seen) = self.pools.all();
        let machines: Vec<Arc<Machine>> = self.view.machines().map(Arc::clone).collect();
        let calls = machine_plan::garbage::collect(now, &pools, &machines, first_seen, &self.settings, true);
        let mut done = Vec::new();
        for call in calls {
            if api.get(&key(Kind::Machine, "", call.pool())).is_none() {
                self.pools.carry_out(now, &call, cloud, fuse)?;
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

fn is_of(node: &Node, machine: &Machine, name: &str) -> bool {
    let recorded = machine
        .status
        .as_ref()
        .map(|status| status.provider_id.as_str())
        .unwrap_or_default();
    let id = node
        .spec
        .as_ref()
        .and_then(|spec| spec.provider_id.as_deref())
        .unwrap_or_default();
    pool_name(node) == name || (!recorded.is_empty() && recorded == id)
}

fn is_settled(machine: &Machine) -> bool {
    let ready = machine
        .status
        .as_ref()
        .is_some_and(|status| status.is_true(MachineConditionType::Ready));
    let finalizers = machine.metadata.finalizers.as_deref().unwrap_or_default();
    let protected = finalizers.iter().any(|f| f == labels::TERMINATION_FINALIZER);
    ready && protected && machine.metadata.deletion_timestamp.is_none()
}

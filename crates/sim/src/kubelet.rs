//! The rest of a cluster, as the API server shows it: nodes, a scheduler, kubelets, and the controllers of
//! Deployments, StatefulSets and Jobs.
//!
//! No container runs; pods get ready, jobs complete and pods end after a pause. Anti-affinity, volumes and
//! priorities are not modeled.

pub mod events;
pub mod faults;
pub mod karpenter;
pub mod machine_faults;
pub mod machines;
pub mod nodes;
pub mod pod_state;
pub mod pods;
pub mod schedule;
mod volumes;
pub mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::Instance;
use instance_types::{Catalog, InstanceType};
use jiff::{SignedDuration, Timestamp};

use crate::api_server::ApiServer;
use crate::cloud::{Cloud, MachineEvent};
use karpenter::attempts::Karpenter;
use machines::Vm;

/// Behavior of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPace {
    /// From binding to readiness.
    pub start: SignedDuration,
    /// From readiness to the end, for pods of Jobs.
    pub run: SignedDuration,
    /// From deletion to the end.
    pub stop: SignedDuration,
    /// Containers of long-running pods crash instead of getting ready.
    pub crash: bool,
    /// Containers of this image crash.
    pub broken_image: Option<String>,
    /// Pods of Jobs fail.
    pub fail_jobs: bool,
    /// Pods that have not started cannot mount their volumes: a ConfigMap does not exist.
    pub mounts_fail: bool,
}

impl Default for PodPace {
    fn default() -> Self {
        Self {
            start: SignedDuration::from_secs(60),
            run: SignedDuration::from_secs(300),
            stop: SignedDuration::from_secs(3),
            crash: false,
            broken_image: None,
            fail_jobs: false,
            mounts_fail: false,
        }
    }
}

/// The rest of the cluster.
#[derive(Clone, Debug)]
pub struct Kubelet {
    /// Behavior of pods; may be changed at any time.
    pub pods: PodPace,
    /// The cluster's Karpenter.
    pub karpenter: Karpenter,
    /// Machines that exist.
    pub types: Arc<Catalog>,
    vms: BTreeMap<String, Vm>,
    names: u64,
}

impl Kubelet {
    /// Returns a cluster without nodes.
    #[must_use]
    pub fn new(pods: PodPace, types: Arc<Catalog>) -> Self {
        Self {
            pods,
            karpenter: Karpenter::new(),
            types,
            vms: BTreeMap::new(),
            names: 0,
        }
    }

    /// Takes in events of machines.
    pub fn take(&mut self, now: Timestamp, events: Vec<MachineEvent>) {
        for event in events {
            match event {
                MachineEvent::Boots { pool, joins } => {
                    let vm = Vm::boots(&pool, self.gpus(&pool), joins);
                    self.vms.insert(pool.name.clone(), vm);
                }
                MachineEvent::Ends { pool } => {
                    if let Some(vm) = self.vms.get_mut(&pool) {
                        vm.ended.get_or_insert(now);
                    }
                }
            }
        }
    }

    /// Does everything that is due, and returns the time of the next event.
    pub fn tick(&mut self, now: Timestamp, cloud: &mut Cloud, api: &mut ApiServer) -> Option<Timestamp> {
        let mut due = Vec::new();
        self.tick_nodes(now, &cloud.pace, api, &mut due);
        let machines = &self.vms;
        cloud.keep_elsewhere(|name| machines.get(name).is_some_and(|vm| vm.ended.is_none()));
        self.tick_karpenter(now, cloud, api, &mut due);
        self.tick_workloads(api);
        schedule::tick(now, api);
        self.tick_pods(now, api, &mut due);
        self.tick_statuses(now, api);
        due.into_iter().filter(|at| *at > now).min()
    }

    /// Names of the instances that a Karpenter runs.
    pub fn karpenters_machines(&self) -> impl Iterator<Item = &str> {
        let all = self
            .vms
            .values()
            .filter(|vm| vm.is_karpenters && vm.ended.is_none());
        all.map(|vm| vm.pool.name.as_str())
    }

    /// Number of GPUs of a machine.
    fn gpus(&self, pool: &Instance) -> u32 {
        let name = pool.instance_type.as_deref().unwrap_or_default();
        let known = self.types.lookup(instance_types::Cloud::Azure, name);
        known.map_or(0, InstanceType::nvidia_gpus)
    }

    fn fresh_name(&mut self) -> String {
        self.names += 1;
        format!("{:05x}", self.names.wrapping_mul(0x9e37_79b9) & 0xf_ffff)
    }
}

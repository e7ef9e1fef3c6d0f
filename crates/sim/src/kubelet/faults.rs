//! Faults of machines that the cloud does not show: silent kubelets, lost GPUs, and spot capacity that is taken back.

use jiff::{SignedDuration, Timestamp};
use kaito_api::labels::AKS_SPOT;
use plan::ObjectRef;
use serde_json::json;

use super::Kubelet;
use super::machines::Vm;
use crate::api_server::ApiServer;
use crate::json;

/// Time from the notice of an eviction to the end of the machine.
const NOTICE: SignedDuration = SignedDuration::from_secs(30);
/// Condition by which the notice is announced.
pub(crate) const PREEMPTION: &str = "PreemptionScheduled";

impl Kubelet {
    /// Stops the kubelet of an instance, or starts it again.
    pub fn silence(&mut self, pool: &str, silent: bool) {
        if let Some(vm) = self.live_vm(pool) {
            vm.faults.silent = silent;
        }
    }

    /// Breaks this many GPUs of an instance.
    pub fn lose_gpus(&mut self, pool: &str, lost: u32) {
        if let Some(vm) = self.live_vm(pool) {
            vm.faults.lost_gpus = lost;
        }
    }

    /// Takes the spot capacity of an instance back: after a notice, or at once.
    pub fn reclaim(&mut self, now: Timestamp, pool: &str, announced: bool) {
        if let Some(vm) = self.live_vm(pool) {
            vm.faults.spot = true;
            let pause = if announced {
                NOTICE
            } else {
                SignedDuration::from_secs(1)
            };
            let at = now.saturating_add(pause).unwrap_or(now);
            if announced {
                vm.faults.evicted = Some(at);
            } else {
                vm.ends = Some(at);
            }
        }
    }

    /// Mends every machine that is not taken back.
    pub fn mend(&mut self) {
        for vm in self.vms.values_mut() {
            vm.faults.silent = false;
            vm.faults.lost_gpus = 0;
        }
    }

    /// Returns true if nothing is wrong with the machine of an instance, as far as its Node can show.
    #[must_use]
    pub fn is_healthy(&self, pool: &str) -> bool {
        self.vms
            .get(pool)
            .is_some_and(|vm| vm.ended.is_none() && vm.faults.is_healthy())
    }

    /// Number of machines of the provisioner with a fault.
    #[must_use]
    pub fn unhealthy(&self) -> usize {
        let faulty = |vm: &&Vm| vm.ended.is_none() && !vm.is_karpenters && !vm.faults.is_healthy();
        self.vms.values().filter(faulty).count()
    }

    fn live_vm(&mut self, pool: &str) -> Option<&mut Vm> {
        let vm = self.vms.get_mut(pool)?;
        (vm.ended.is_none() && !vm.is_karpenters).then_some(vm)
    }
}

/// Shows spot capacity and its end on the Node.
pub(super) fn show(
    vm: &mut Vm,
    now: Timestamp,
    api: &mut ApiServer,
    node: &ObjectRef,
    due: &mut Vec<Timestamp>,
) {
    if vm.faults.spot {
        let _ = api.edit("kubelet", node, |value| {
            json::set(value, &["metadata", "labels", AKS_SPOT], json!("spot"));
        });
    }
    if let Some(at) = vm.faults.evicted {
        due.push(at);
        let _ = api.edit("kubelet", node, |value| announce(value, at));
        vm.ends.get_or_insert(at);
    }
    if let Some(at) = vm.ends {
        due.push(at);
        if now >= at {
            vm.ended.get_or_insert(now);
        }
    }
}

fn announce(node: &mut serde_json::Value, at: Timestamp) {
    let mut conditions = json::list(node, &["status", "conditions"]).to_vec();
    if conditions.iter().any(|c| json::text(c, &["type"]) == PREEMPTION) {
        return;
    }
    conditions.push(json!({
        "type": PREEMPTION, "status": "True", "reason": "SpotEvictionIncoming",
        "message": format!("Preempt Scheduled: {}", json::stamp(at)), "lastTransitionTime": json::stamp(at),
    }));
    json::set(node, &["status", "conditions"], json!(conditions));
}

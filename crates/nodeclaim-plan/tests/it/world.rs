//! A whole small world: carries plans out against the small cloud and cluster, with failures, and watches that
//! no plan does harm. Knows how a shell behaves, not what a planner decides.

use std::sync::Arc;

use cloudprovider::{
    Accepted, CloudCall, ErrorClass, Instance, InstanceTracker, OperationStatus, Ownership, ProviderError,
    Recorded,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::{Claim, ClaimKind};
use kube::Resource as _;
use nodeclaim_plan::{Observed, Settings};
use plan::{Finalizer, Kind, Plan, Write};

use crate::fixtures::{UID, error, machine, of_kind, ours, patched, t, with_status};
use crate::world_cluster::{Cluster, Fate};

/// What goes wrong on one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// The next write to the API server is refused as out of date.
    Conflict,
    /// The call is refused.
    Refused(ErrorClass),
    /// The call is carried out, and its answer lost.
    AnswerLost,
    /// The answer is lost, and the call carried out later.
    Late,
    /// Somebody deletes the pool behind our back.
    Vanish,
    /// The program starts anew.
    Crash,
    /// The listing shows what was there before.
    StaleList,
    /// The cloud does not list.
    NoList,
}

/// The world of one Machine.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) cluster: Cluster,
    pub(crate) claim: Option<Claim>,
    settings: Settings,
    tracker: InstanceTracker,
    last_list: Vec<Instance>,
    pub(crate) log: Vec<String>,
}

impl World {
    pub(crate) fn new(kind: ClaimKind, fates: Vec<Fate>) -> Self {
        let mut fresh = machine();
        fresh.metadata.finalizers = None;
        Self {
            now: t(0),
            cluster: Cluster {
                fates,
                ..Cluster::default()
            },
            claim: Some(of_kind(kind, &fresh.into())),
            settings: Settings::default(),
            tracker: InstanceTracker::default(),
            last_list: vec![],
            log: vec![],
        }
    }

    /// Somebody deletes the Machine.
    pub(crate) fn delete_claim(&mut self) {
        let now = self.now;
        match &mut self.claim {
            Some(claim) if claim.metadata().finalizers.iter().flatten().next().is_none() => self.claim = None,
            Some(claim) => {
                claim.meta_mut().deletion_timestamp.get_or_insert(Time(now));
            }
            None => {}
        }
    }

    /// One pass: time goes by, the cloud is listed, the Machine is planned and the plan carried out.
    pub(crate) fn pass(&mut self, fault: Fault) -> Plan<CloudCall> {
        if fault == Fault::Vanish {
            self.cluster.pools.clear();
        }
        self.cluster.age(self.now);
        if fault == Fault::Crash {
            self.tracker = InstanceTracker::default();
        }
        let Some(claim) = self.claim.clone() else {
            return Plan::default();
        };
        // A claim is seen before the listing that tells of it.
        let _ = self.tracker.view(claim.name(), claim.uid(), self.now);
        self.list(fault);
        let observed = self.observe(claim);
        let plan = nodeclaim_plan::plan(self.now, &observed, &self.settings);
        self.log.push(format!(
            "{} {:?} {:?} {:?}",
            self.now, fault, plan.reasons, plan.cloud
        ));
        assert_eq!(plan_check::check(&plan), [], "{:#?}", self.log);
        self.execute(&plan, fault);
        let step = plan.requeue.map_or(15, |after| after.as_secs().clamp(1, 30));
        self.now += SignedDuration::from_secs(step.cast_signed());
        plan
    }

    fn observe(&mut self, claim: Claim) -> Observed {
        let facts = self.tracker.view(claim.name(), claim.uid(), self.now);
        Observed {
            claim,
            instance: facts.lookup,
            nodes: self.cluster.nodes.values().cloned().map(Arc::new).collect(),
            pods: self.cluster.pods.values().cloned().map(Arc::new).collect(),
            attachments: vec![],
            last_call: facts.last_call,
            failure: facts.failure,
            has_name_conflict: false,
        }
    }

    fn list(&mut self, fault: Fault) {
        let fresh: Vec<Instance> = self
            .cluster
            .pools
            .values()
            .map(|pool| pool.pool.clone())
            .collect();
        let shown = if fault == Fault::StaleList {
            self.last_list.clone()
        } else {
            fresh.clone()
        };
        if fault != Fault::NoList {
            self.tracker.on_list(self.now, shown);
        }
        self.last_list = fresh;
    }

    fn execute(&mut self, plan: &Plan<CloudCall>, fault: Fault) {
        if let Finalizer::Ensure(name) = plan.finalizer {
            self.claim.as_mut().unwrap().meta_mut().finalizers = Some(vec![name.into()]);
        }
        for (i, write) in plan.writes.iter().enumerate() {
            if (fault == Fault::Conflict && i == 0) || !self.write(write) {
                return;
            }
        }
        if let Some(call) = &plan.cloud {
            self.call(call, fault);
        }
        if let (Some(status), Some(claim)) = (&plan.status, &mut self.claim) {
            *claim = with_status(claim, status);
        }
        if let Finalizer::Release(_) = plan.finalizer {
            self.release();
        }
    }

    fn release(&mut self) {
        assert!(
            !self.cluster.pools.values().any(|pool| is_ours(&pool.pool)),
            "leaked: {:#?}",
            self.log
        );
        assert!(self.cluster.late.is_empty(), "leaks: {:#?}", self.log);
        self.claim = None;
    }

    fn write(&mut self, write: &Write) -> bool {
        match write {
            Write::Patch(patch) if patch.target.kind == Kind::Node => {
                self.cluster
                    .patch_node(self.now, &patch.target.name, &patch.resource_version, &patch.body)
            }
            Write::Patch(patch) => {
                let claim = self.claim.as_mut().unwrap();
                *claim = patched(claim, &patch.body);
                true
            }
            Write::Delete(delete) => {
                match delete.target.kind {
                    Kind::Node => self.cluster.delete_node(self.now, &delete.target.name),
                    Kind::Machine | Kind::NodeClaim => self.delete_claim(),
                    Kind::Pod => self.end_pod(&delete.target.name),
                    _ => panic!("{write:?}"),
                }
                true
            }
            Write::Evict(evict) => {
                self.end_pod(&evict.name);
                true
            }
            Write::Apply(_) => panic!("{write:?}"),
        }
    }

    fn end_pod(&mut self, name: &str) {
        if let Some(pod) = self.cluster.pods.get_mut(name) {
            pod.metadata.deletion_timestamp.get_or_insert(Time(self.now));
        }
    }

    fn call(&mut self, call: &CloudCall, fault: Fault) {
        let recorded = self.send(call, fault);
        if let Some(read) = recorded.follow_up {
            let _ = self.send(&read, fault);
        }
    }

    fn send(&mut self, call: &CloudCall, fault: Fault) -> Recorded {
        let (now, name) = (self.now, call.instance());
        match call {
            CloudCall::Read { .. } => {
                let answer = self.read(name, fault);
                self.tracker.on_read(now, name, answer)
            }
            CloudCall::ReadOperation { .. } => {
                let failed = OperationStatus::Failed(self.fate_of(name));
                self.tracker.on_operation(name, Ok(failed))
            }
            CloudCall::Create(spec) => {
                let answer = self.change(call, fault);
                self.tracker.on_create(now, spec, answer)
            }
            CloudCall::Delete { .. } => {
                let answer = self.change(call, fault);
                self.tracker.on_delete((now, now), name, answer)
            }
            CloudCall::Abort { .. } => {
                let answer = self.change(call, fault);
                self.tracker.on_abort(now, name, answer)
            }
        }
    }

    fn fate_of(&self, name: &str) -> ProviderError {
        let class = match self.cluster.pools.get(name).map(|pool| pool.fate) {
            Some(Fate::Fails(class)) => class,
            _ => ErrorClass::Transient,
        };
        error(class, "OperationFailed", "as fate would have it")
    }

    fn read(&self, name: &str, fault: Fault) -> Result<Instance, ProviderError> {
        match (fault, self.cluster.pools.get(name)) {
            (Fault::Refused(class), _) => Err(error(class, "Refused", "because")),
            (Fault::AnswerLost | Fault::Late, _) => Err(error(ErrorClass::Transient, "Timeout", "no answer")),
            (_, Some(pool)) => Ok(pool.pool.clone()),
            (_, None) => Err(error(ErrorClass::NotFound, "NotFound", "")),
        }
    }

    fn change(&mut self, call: &CloudCall, fault: Fault) -> Result<Accepted, ProviderError> {
        let lost = || Err(error(ErrorClass::Transient, "Timeout", "no answer"));
        match (fault, call) {
            (Fault::Refused(class), _) => Err(error(class, "Refused", "because")),
            (Fault::Late, CloudCall::Create(spec)) => {
                self.cluster
                    .late
                    .push((self.now + SignedDuration::from_secs(40), (**spec).clone()));
                lost()
            }
            (Fault::AnswerLost | Fault::Late, _) => {
                let _ = self.carry_out(call);
                lost()
            }
            _ => self.carry_out(call),
        }
    }

    fn carry_out(&mut self, call: &CloudCall) -> Result<Accepted, ProviderError> {
        let there = self
            .cluster
            .pools
            .get(call.instance())
            .is_some_and(|pool| !is_ours(&pool.pool));
        assert!(
            !there || matches!(call, CloudCall::Create(_)),
            "not ours: {:#?}",
            self.log
        );
        match call {
            CloudCall::Create(spec) => self.cluster.create(self.now, spec).map(|pool| Accepted {
                instance: Some(pool),
                operation_url: Some(format!("https://op/{}", self.cluster.created)),
                ..Accepted::default()
            }),
            CloudCall::Delete { name, version } => {
                let deleted = self.cluster.delete(self.now, name, version.as_deref());
                deleted.map(|()| Accepted::default())
            }
            CloudCall::Abort { name } => {
                let aborted = self.cluster.abort(self.now, name);
                aborted.map(|()| Accepted::default())
            }
            CloudCall::Read { .. } | CloudCall::ReadOperation { .. } => panic!("{call:?} changes nothing"),
        }
    }
}

fn is_ours(pool: &Instance) -> bool {
    let upstream = pool.owner == Ownership::Upstream
        && pool
            .labels
            .get("kaito.sh/workspace")
            .is_some_and(|owner| owner == "w");
    upstream || pool.owner == ours(UID)
}

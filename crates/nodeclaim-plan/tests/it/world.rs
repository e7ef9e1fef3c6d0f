//! A whole small world: carries plans out against the small cloud and cluster, with failures, and watches that
//! no plan does harm. Knows how a shell behaves, not what a planner decides.

use std::sync::Arc;

use cloudprovider::pool::TAG_CLAIM_UID;
use cloudprovider::{
    AgentPool, CallKind, CallOutcome, CloudCall, ErrorClass, PoolLookup, ProviderError, Snapshot,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::{Claim, ClaimKind};
use kube::Resource as _;
use nodeclaim_plan::{Observed, Settings};
use plan::{Finalizer, Kind, Plan, Write};

use crate::fixtures::{UID, error, machine, of_kind, patched, t, with_status};
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
    snapshot: Snapshot,
    first_seen: Option<Timestamp>,
    last_list: Vec<AgentPool>,
    last_call: Option<CallOutcome>,
    failure: Option<ProviderError>,
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
            snapshot: Snapshot::default(),
            first_seen: None,
            last_list: vec![],
            last_call: None,
            failure: None,
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
            self.snapshot = Snapshot::default();
            self.first_seen = None;
            self.last_call = None;
            self.failure = None;
        }
        let Some(observed) = self.observe() else {
            return Plan::default();
        };
        self.list(fault);
        let observed = Observed {
            pool: self.lookup(),
            ..observed
        };
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

    fn observe(&mut self) -> Option<Observed> {
        let claim = self.claim.clone()?;
        self.first_seen.get_or_insert(self.now);
        Some(Observed {
            claim,
            pool: PoolLookup::Unknown,
            nodes: self.cluster.nodes.values().cloned().map(Arc::new).collect(),
            pods: self.cluster.pods.values().cloned().map(Arc::new).collect(),
            attachments: vec![],
            last_call: self.last_call.clone(),
            failure: self.failure.clone(),
            yields: false,
        })
    }

    fn list(&mut self, fault: Fault) {
        let fresh: Vec<AgentPool> = self
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
            self.snapshot.listed(self.now, shown);
        }
        self.last_list = fresh;
    }

    fn lookup(&self) -> PoolLookup {
        let name = self.claim.as_ref().map(|claim| claim.name().to_owned()).unwrap();
        self.snapshot.lookup(&name, self.first_seen.unwrap())
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
        match call {
            CloudCall::Read { name } => self.read(&name.clone(), fault),
            CloudCall::ReadOperation { name, .. } => {
                let fate = self.cluster.pools.get(name).map(|pool| pool.fate);
                let class = if let Some(Fate::Fails(class)) = fate {
                    class
                } else {
                    ErrorClass::Transient
                };
                self.failure = Some(error(class, "OperationFailed", "as fate would have it"));
            }
            CloudCall::Create(_) | CloudCall::Delete { .. } | CloudCall::Abort { .. } => {
                self.change(call, fault)
            }
        }
    }

    fn read(&mut self, name: &str, fault: Fault) {
        match self.cluster.pools.get(name) {
            _ if matches!(fault, Fault::Refused(_) | Fault::AnswerLost | Fault::Late) => {}
            Some(pool) => drop(self.snapshot.seen(self.now, pool.pool.clone())),
            None => drop(self.snapshot.missed(self.now, name)),
        }
    }

    fn change(&mut self, call: &CloudCall, fault: Fault) {
        let lost = || Err(error(ErrorClass::Transient, "Timeout", "no answer"));
        let result = match (fault, call) {
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
        };
        self.record(call.kind(), call.pool(), result);
    }

    fn carry_out(&mut self, call: &CloudCall) -> Result<Option<AgentPool>, ProviderError> {
        let there = self
            .cluster
            .pools
            .get(call.pool())
            .is_some_and(|pool| !is_ours(&pool.pool));
        assert!(
            !there || matches!(call, CloudCall::Create(_)),
            "not ours: {:#?}",
            self.log
        );
        match call {
            CloudCall::Create(spec) => self.cluster.create(self.now, spec).map(Some),
            CloudCall::Delete { name, etag } => self
                .cluster
                .delete(self.now, name, etag.as_deref())
                .map(|()| None),
            CloudCall::Abort { name } => self.cluster.abort(self.now, name).map(|()| None),
            CloudCall::Read { .. } | CloudCall::ReadOperation { .. } => Ok(None),
        }
    }

    fn record(&mut self, kind: CallKind, name: &str, result: Result<Option<AgentPool>, ProviderError>) {
        let created = kind == CallKind::Create && result.is_ok();
        let before = self
            .last_call
            .take()
            .filter(|call| call.kind == kind)
            .map_or(0, |call| call.failures);
        let (pool, error) = match result {
            Ok(pool) => (pool, None),
            Err(error) => (None, Some(error)),
        };
        let unsure =
            kind == CallKind::Create && error.as_ref().is_some_and(|e| e.class == ErrorClass::Transient);
        if unsure {
            self.snapshot.doubted(self.now, name);
        }
        if let Some(pool) = pool {
            self.snapshot.seen(self.now, pool);
        } else if error
            .as_ref()
            .is_some_and(|error| error.class == ErrorClass::NotFound)
        {
            self.snapshot.missed(self.now, name);
        }
        if created {
            self.failure = None;
        }
        self.last_call = Some(CallOutcome {
            at: self.now,
            kind,
            failures: if error.is_some() { before + 1 } else { 0 },
            error,
            operation_url: created.then(|| format!("https://op/{}", self.cluster.created)),
        });
    }
}

fn is_ours(pool: &AgentPool) -> bool {
    let upstream = pool.tags.is_empty()
        && pool
            .labels
            .get("kaito.sh/workspace")
            .is_some_and(|owner| owner == "w");
    upstream || pool.tags.get(TAG_CLAIM_UID).is_some_and(|uid| uid == UID)
}

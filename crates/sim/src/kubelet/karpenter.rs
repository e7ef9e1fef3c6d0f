//! A Karpenter: it serves the NodeClaims of its class, as `sigs.k8s.io/karpenter` serves claims without a NodePool.
//!
//! Without capacity it deletes a claim, and an Event says why. Another failure stands in the claim, and the launch is tried
//! again. A claim that has no instance in time, or whose instance does not join in time, is deleted.

pub mod attempts;
mod node;
pub(crate) mod offerings;

use std::sync::Arc;

use cloudprovider::{Instance, Offering};
use jiff::{SignedDuration, Timestamp};
use kaito_api::labels::TERMINATION_FINALIZER;
use plan::{Kind, ObjectRef, Propagation};
use serde_json::{Value, json};

use super::Kubelet;
use super::machines::Vm;
use crate::api_server::{ApiServer, is_deleting, key};
use crate::cloud::Cloud;
use crate::json;
use attempts::Attempt;

const ACTOR: &str = "karpenter";
/// Group, kind and name of the class of its claims.
pub const CLASS: [&str; 3] = ["karpenter.example.com", "ExampleNodeClass", "gpu"];
/// From a claim to the first attempt to launch it.
const BEGINS: SignedDuration = SignedDuration::from_secs(2);
/// From a failed attempt to the next one.
const RETRY: SignedDuration = SignedDuration::from_secs(5);
/// Age at which a claim without an instance is deleted.
const LAUNCH_TIMEOUT: SignedDuration = SignedDuration::from_mins(5);
/// Age at which a claim whose instance has not joined is deleted.
const REGISTRATION_TIMEOUT: SignedDuration = SignedDuration::from_mins(15);
/// Taint of a Node that its kubelet registered, and Karpenter has not.
const UNREGISTERED: &str = "karpenter.sh/unregistered";

/// Returns true if this NodeClaim is of its class.
pub(crate) fn is_its(claim: &Value) -> bool {
    json::text(claim, &["spec", "nodeClassRef", "group"]) == CLASS[0]
}

impl Kubelet {
    pub(super) fn tick_karpenter(
        &mut self,
        now: Timestamp,
        cloud: &mut Cloud,
        api: &mut ApiServer,
        due: &mut Vec<Timestamp>,
    ) {
        let all = api.list(Kind::NodeClaim).filter(|(_, claim)| is_its(claim));
        let all: Vec<(ObjectRef, Arc<Value>)> =
            all.map(|(key, claim)| (key.clone(), Arc::clone(claim))).collect();
        let exists = |uid: &String| all.iter().any(|(_, claim)| uid_of(claim) == uid);
        self.karpenter.attempts.retain(|uid, _| exists(uid));
        for (target, claim) in &all {
            if is_deleting(claim) {
                self.terminate(target, claim, now, api, due);
            } else if !json::list(claim, &["metadata", "finalizers"]).contains(&json!(TERMINATION_FINALIZER))
            {
                accept(target, claim, now, api);
                due.push(now.saturating_add(BEGINS).unwrap_or(now));
            } else if !is_true(claim, "Launched") {
                self.launch(target, claim, now, cloud, api, due);
            } else if is_true(claim, "Registered") {
                self.watch_over(target, claim, now, api);
            } else {
                self.register(target, claim, now, api, due);
            }
        }
    }

    fn launch(
        &mut self,
        target: &ObjectRef,
        claim: &Value,
        now: Timestamp,
        cloud: &mut Cloud,
        api: &mut ApiServer,
        due: &mut Vec<Timestamp>,
    ) {
        if is_older(claim, LAUNCH_TIMEOUT, now, due) {
            return take_back(target, api);
        }
        let first = after(created(claim, now), BEGINS);
        let next = *self
            .karpenter
            .attempts
            .entry(uid_of(claim).to_owned())
            .or_insert(first);
        due.push(next);
        if now < next {
            return;
        }
        // A machine of the same name ends first.
        let attempt = if self.vms.contains_key(&target.name) {
            Attempt::Failed
        } else {
            self.karpenter.attempt()
        };
        let next = match attempt {
            Attempt::Hangs => Timestamp::MAX,
            _ => after(now, RETRY),
        };
        self.karpenter.attempts.insert(uid_of(claim).to_owned(), next);
        due.push(next);
        let wanted = offerings::of(claim);
        match attempt {
            Attempt::Hangs => {}
            Attempt::NoCapacity => {
                cloud.fail_elsewhere(&target.name, &wanted);
                report_no_capacity(target, claim, "no capacity", now, api);
                take_back(target, api);
            }
            Attempt::Failed => {
                cloud.fail_elsewhere(&target.name, &wanted);
                let _ = api.edit(ACTOR, target, |claim| {
                    set_condition(
                        claim,
                        "Launched",
                        "Unknown",
                        "LaunchFailed",
                        "the cloud says no",
                        now,
                    );
                });
            }
            Attempt::Launched | Attempt::Silent => match cloud.buy_elsewhere(&target.name, wanted) {
                Ok(bought) => {
                    let joins = match attempt {
                        Attempt::Silent => Timestamp::MAX,
                        _ => after(now, cloud.pace.join),
                    };
                    self.boot(target, claim, &bought, joins, now, api);
                }
                Err(refusal) => {
                    let words = refusal.map_or_else(|| "no capacity".to_owned(), |refusal| refusal.message);
                    report_no_capacity(target, claim, &words, now, api);
                    take_back(target, api);
                }
            },
        }
    }

    fn boot(
        &mut self,
        target: &ObjectRef,
        claim: &Value,
        bought: &Offering,
        joins: Timestamp,
        now: Timestamp,
        api: &mut ApiServer,
    ) {
        let instance = instance(target, claim);
        let vm = Vm::of_karpenter(&instance, self.gpus(&instance), joins);
        let _ = api.edit(ACTOR, target, |claim| {
            offerings::label(claim, bought);
            json::set(claim, &["status", "providerID"], json!(vm.provider_id()));
            set_condition(claim, "Launched", "True", "Launched", "", now);
            set_condition(
                claim,
                "Registered",
                "Unknown",
                "NodeNotFound",
                "Node not registered with cluster",
                now,
            );
        });
        self.vms.insert(target.name.clone(), vm);
        self.karpenter.launches += 1;
    }
}

/// Adds the finalizer and the conditions of a new claim.
fn accept(target: &ObjectRef, claim: &Value, now: Timestamp, api: &mut ApiServer) {
    let _ = api.set_finalizer(ACTOR, target, uid_of(claim), TERMINATION_FINALIZER, true);
    let _ = api.edit(ACTOR, target, |claim| {
        for type_ in ["Launched", "Registered", "Initialized", "Ready"] {
            let message = "object is awaiting reconciliation";
            set_condition(claim, type_, "Unknown", "AwaitingReconciliation", message, now);
        }
    });
}

/// Deletes a claim that is not wanted anymore.
fn take_back(target: &ObjectRef, api: &mut ApiServer) {
    let _ = api.delete(ACTOR, target, None, Propagation::Background, None);
}

fn report_no_capacity(target: &ObjectRef, claim: &Value, words: &str, now: Timestamp, api: &mut ApiServer) {
    let uid = uid_of(claim);
    let event = json!({
        "type": "Warning", "reason": "InsufficientCapacityError", "lastTimestamp": json::stamp(now), "count": 1,
        "message": format!("NodeClaim {} event: {words}", target.name),
        "involvedObject": {"kind": "NodeClaim", "name": target.name, "uid": uid},
    });
    let _ = api.create(
        ACTOR,
        &key(Kind::Event, "default", &format!("{}.{uid}", target.name)),
        event,
    );
}

/// The machine that the claim asks for. Its kubelet knows neither labels nor taints of the claim.
fn instance(target: &ObjectRef, claim: &Value) -> Instance {
    Instance {
        name: target.name.clone(),
        instance_type: Some(offerings::instance_type(claim)),
        taints: vec![format!("{UNREGISTERED}:NoExecute")],
        ..Instance::default()
    }
}

fn uid_of(object: &Value) -> &str {
    json::text(object, &["metadata", "uid"])
}

fn created(claim: &Value, now: Timestamp) -> Timestamp {
    json::time(claim, &["metadata", "creationTimestamp"]).unwrap_or(now)
}

fn after(time: Timestamp, pause: SignedDuration) -> Timestamp {
    time.saturating_add(pause).unwrap_or(Timestamp::MAX)
}

fn is_older(claim: &Value, age: SignedDuration, now: Timestamp, due: &mut Vec<Timestamp>) -> bool {
    let end = after(created(claim, now), age);
    due.push(end);
    now >= end
}

fn is_true(claim: &Value, type_: &str) -> bool {
    let mut all = json::list(claim, &["status", "conditions"]).iter();
    all.any(|one| json::text(one, &["type"]) == type_ && json::text(one, &["status"]) == "True")
}

/// Sets a condition; its time changes with its status.
fn set_condition(claim: &mut Value, type_: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let mut all = json::list(claim, &["status", "conditions"]).to_vec();
    let old = all.iter().position(|one| json::text(one, &["type"]) == type_);
    let old = old.map(|index| all.remove(index));
    let since = old.filter(|old| json::text(old, &["status"]) == status);
    let since = since.and_then(|old| old.get("lastTransitionTime").cloned());
    all.push(json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since.unwrap_or_else(|| json::stamp(now)),
    }));
    json::set(claim, &["status", "conditions"], Value::Array(all));
}

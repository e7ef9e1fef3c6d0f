//! Carries out a plan on the simulated API server.
//!
//! The order of the steps, the meaning of a refusal and what it prevents are the product's: [`Plan::into_steps`],
//! [`plan::outcome()`] and [`Execution`].

use std::time::Duration;

use plan::outcome::BLOCKED_RETRY;
use plan::{
    Execution, NoCloud, ObjectRef, PendingWrite, Plan, RefusedWrite, Report, Step, Verb, Write, WriteOutcome,
    outcome,
};
use serde_json::{Value, json};

use super::{Fuse, Halt};
use crate::api_server::{ApiError, ApiServer, shown};
use crate::json;

/// The object that a plan is about, as it was observed.
#[derive(Clone, Debug)]
pub struct ReconciledObject {
    /// Kind and name.
    pub key: ObjectRef,
    /// UID as observed.
    pub uid: String,
    /// Resource version as observed.
    pub version: String,
    /// Finalizers as observed.
    pub finalizers: Vec<String>,
    /// Failed reconciles in a row before this one.
    pub failures: u32,
}

impl ReconciledObject {
    /// Returns the object with this observed metadata.
    #[must_use]
    pub fn of(
        key: &ObjectRef,
        meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
        failures: u32,
    ) -> Self {
        Self {
            failures,
            key: key.clone(),
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
        }
    }
}

/// Carries plans out.
#[derive(Debug)]
pub struct Executor<'a> {
    /// Field manager.
    pub program: &'static str,
    /// The server.
    pub api: &'a mut ApiServer,
    /// Writes until the program dies.
    pub fuse: &'a mut Fuse,
    /// Writes that took effect.
    pub writes: Vec<PendingWrite>,
    /// Lines for the trace.
    pub lines: Vec<String>,
    /// The write that the network holds.
    pub held: Option<(ReconciledObject, Step<NoCloud>)>,
}

impl Executor<'_> {
    /// Carries out `plan`. `call` carries out its call to the cloud, and returns a line for the trace with the result.
    /// `report` is asked about refused writes.
    ///
    /// # Errors
    /// If a write fails, or the program dies.
    pub fn execute<C>(
        &mut self,
        object: &ReconciledObject,
        plan: Plan<C>,
        call: impl FnOnce(C, &mut Fuse) -> (String, Result<(), Halt>),
        report: impl FnOnce(&[RefusedWrite]) -> Report,
    ) -> Result<Option<Duration>, Halt> {
        let mut requeue = plan.requeue;
        let mut execution = Execution::after(object.failures);
        let mut failure = None;
        // A plan has at most one call.
        let mut call = Some(call);
        for step in plan.into_steps() {
            if !execution.permits(&step) {
                continue;
            }
            let subject = step.write(&object.key);
            if let Some(write) = write_of(&step)
                && self.fuse.is_held()
            {
                self.lines.push("the network holds the next write".to_owned());
                self.held = Some((object.clone(), write));
                return Err(Halt::Crashed);
            }
            let result = match step {
                Step::EnsureFinalizer(name) => self.ensure(object, name),
                Step::Write(write) => self.write(&write),
                Step::Cloud(asked) => {
                    if let Some(call) = call.take() {
                        let (line, result) = call(asked, self.fuse);
                        self.lines.push(line);
                        result?;
                    }
                    continue;
                }
                Step::Status(status) => self.status(object, &status),
                Step::ReleaseFinalizer(name) => self.release(object, name),
                // The simulation has no reader of events.
                Step::Publish(_) => continue,
            };
            match (result, subject) {
                (Ok(false), _) => {}
                (Ok(true), _) => requeue = Some(requeue.map_or(BLOCKED_RETRY, |at| at.min(BLOCKED_RETRY))),
                (Err(Halt::Refused { code, message }), Some((verb, target))) => {
                    execution.record(RefusedWrite::new(verb, target, Some(code), &message));
                    failure = failure.or(Some(Halt::Refused { code, message }));
                }
                (Err(halt), _) => return Err(halt),
            }
        }
        if let Some(refusals) = execution.reportable()
            && let Some(status) = report(&refusals).status
        {
            self.status(object, &status)?;
        }
        failure.map_or(Ok(requeue), Err)
    }

    /// Carries out a write that the network held.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn arrive(&mut self, object: &ReconciledObject, step: Step<NoCloud>) -> Result<(), Halt> {
        match step {
            Step::EnsureFinalizer(name) => self.ensure(object, name),
            Step::Write(write) => self.write(&write),
            Step::Status(status) => self.status(object, &status),
            Step::ReleaseFinalizer(name) => self.release(object, name),
            Step::Cloud(none) => match none {},
            Step::Publish(_) => Ok(false),
        }
        .map(|_| ())
    }

    fn ensure(&mut self, object: &ReconciledObject, finalizer: &str) -> Result<bool, Halt> {
        if object.finalizers.iter().any(|held| held == finalizer) {
            return Ok(false);
        }
        let mut all = object.finalizers.clone();
        all.push(finalizer.to_owned());
        let body = json!({"metadata": {"finalizers": all}});
        let result = self
            .api
            .merge_patch(self.program, &object.key, &object.version, &body);
        self.written(Verb::EnsureFinalizer, &object.key, result)
    }

    fn release(&mut self, object: &ReconciledObject, finalizer: &str) -> Result<bool, Halt> {
        let result = self
            .api
            .set_finalizer(self.program, &object.key, &object.uid, finalizer, false);
        self.written(Verb::ReleaseFinalizer, &object.key, result)
    }

    fn status(&mut self, object: &ReconciledObject, status: &Value) -> Result<bool, Halt> {
        let result = self
            .api
            .apply_status(self.program, &object.key, &object.uid, status);
        self.written(Verb::Status, &object.key, result)
    }

    // Returns true if a disruption budget refused.
    fn write(&mut self, write: &Write) -> Result<bool, Halt> {
        match write {
            Write::Apply(manifest) => {
                let key = manifest.target();
                let result = self.api.apply(self.program, &key, &manifest.to_value());
                self.written(Verb::Apply, &key, result)
            }
            Write::Delete(delete) => {
                let uid = Some(delete.uid.as_str());
                let version = delete.resource_version.as_deref();
                let expected = self.api.expect_version(&delete.target, version);
                let result = expected.and_then(|()| {
                    self.api.delete(
                        self.program,
                        &delete.target,
                        uid,
                        delete.propagation,
                        delete.grace_seconds,
                    )
                });
                self.removed(Verb::Delete, &delete.target, &delete.uid, result)
            }
            Write::Patch(patch) => {
                let result =
                    self.api
                        .merge_patch(self.program, &patch.target, &patch.resource_version, &patch.body);
                self.written(Verb::Patch, &patch.target, result)
            }
            Write::Evict(evict) => {
                let key = crate::api_server::key(plan::Kind::Pod, &evict.namespace, &evict.name);
                let result = self
                    .api
                    .evict(self.program, &evict.namespace, &evict.name, &evict.uid);
                self.removed(Verb::Evict, &key, &evict.uid, result)
            }
        }
    }

    fn written(&mut self, verb: Verb, key: &ObjectRef, result: Result<(), ApiError>) -> Result<bool, Halt> {
        let pending = PendingWrite::Version {
            kind: key.kind,
            version: self.api.version_of(key),
        };
        self.settle(verb, key, pending, result)
    }

    fn removed(
        &mut self,
        verb: Verb,
        key: &ObjectRef,
        uid: &str,
        result: Result<(), ApiError>,
    ) -> Result<bool, Halt> {
        let pending = PendingWrite::Deleted {
            target: key.clone(),
            uid: uid.to_owned(),
        };
        self.settle(verb, key, pending, result)
    }

    fn settle(
        &mut self,
        verb: Verb,
        key: &ObjectRef,
        pending: PendingWrite,
        result: Result<(), ApiError>,
    ) -> Result<bool, Halt> {
        let failure = result.err();
        let shown_failure = failure
            .as_ref()
            .map(|error| format!(" -> {error}"))
            .unwrap_or_default();
        self.lines
            .push(format!("{} {}{shown_failure}", shown_verb(verb), shown(key)));
        self.fuse.burn()?;
        let Some(error) = failure else {
            self.writes.push(pending);
            return Ok(false);
        };
        match outcome(verb, error.code()) {
            WriteOutcome::Absent => Ok(false),
            WriteOutcome::Blocked => Ok(true),
            WriteOutcome::Failed(_) => Err(Halt::Refused {
                code: error.code(),
                message: error.to_string(),
            }),
        }
    }
}

/// Returns a copy of the step, if it is a write.
fn write_of<C>(step: &Step<C>) -> Option<Step<NoCloud>> {
    Some(match step {
        Step::EnsureFinalizer(name) => Step::EnsureFinalizer(name),
        Step::Write(write) => Step::Write(write.clone()),
        Step::Status(status) => Step::Status(status.clone()),
        Step::ReleaseFinalizer(name) => Step::ReleaseFinalizer(name),
        Step::Cloud(_) | Step::Publish(_) => return None,
    })
}

fn shown_verb(verb: Verb) -> &'static str {
    match verb {
        Verb::EnsureFinalizer => "ensure finalizer of",
        Verb::ReleaseFinalizer => "release",
        Verb::Status => "status of",
        Verb::Apply | Verb::Delete | Verb::Patch | Verb::Evict => verb.as_str(),
    }
}

/// Returns a plan in one line: its reasons and its effects.
#[must_use]
pub fn summary<C: std::fmt::Debug>(plan: &Plan<C>) -> String {
    let mut words: Vec<String> = plan.reasons.iter().map(|reason| reason.code.to_owned()).collect();
    if let Some(status) = &plan.status {
        words.push(unmet_conditions(status));
    }
    if let Some(requeue) = plan.requeue {
        words.push(format!("again in {}s", requeue.as_secs()));
    }
    words.join(", ")
}

fn unmet_conditions(status: &Value) -> String {
    let conditions: Vec<String> = json::list(status, &["conditions"])
        .iter()
        .filter(|c| json::text(c, &["status"]) != "True")
        .map(|c| {
            format!(
                "{}={}/{}",
                json::text(c, &["type"]),
                json::text(c, &["status"]),
                json::text(c, &["reason"])
            )
        })
        .collect();
    format!("status[{}]", conditions.join(" "))
}

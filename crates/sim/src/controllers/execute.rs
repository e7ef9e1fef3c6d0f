//! Carries out a plan in its order, as the real executor does; the first failure ends the pass.

use std::time::Duration;

use plan::{Finalizer, Kind, ObjectRef, Plan, Write};
use serde_json::{Value, json};

use super::{Fuse, Halt};
use crate::api_server::{ApiError, ApiServer, shown};
use crate::json;

/// How soon a refused eviction is asked for again.
const BLOCKED_RETRY: Duration = Duration::from_secs(5);

/// The object a plan is about, as it was observed.
#[derive(Clone, Debug)]
pub struct Root {
    /// Which object.
    pub key: ObjectRef,
    /// UID as observed.
    pub uid: String,
    /// Version as observed.
    pub version: String,
    /// Finalizers as observed.
    pub finalizers: Vec<String>,
}

impl Root {
    /// From observed metadata.
    #[must_use]
    pub fn of(key: &ObjectRef, meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Self {
        Self {
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
    /// The server that is written to.
    pub api: &'a mut ApiServer,
    /// When the program dies.
    pub fuse: &'a mut Fuse,
    /// What was written: kind, and the number of events after it.
    pub wrote: Vec<(Kind, usize)>,
    /// Lines for the trace.
    pub lines: Vec<String>,
}

impl Executor<'_> {
    /// Carries out `plan`; `call` carries out its request to the cloud, if it has one,
    /// and tells what came of it.
    ///
    /// # Errors
    /// When a write fails, or the program dies.
    pub fn execute<C>(
        &mut self,
        root: &Root,
        plan: Plan<C>,
        call: impl FnOnce(C, &mut Fuse) -> (String, Result<(), Halt>),
    ) -> Result<Option<Duration>, Halt> {
        let mut requeue = plan.requeue;
        if let Finalizer::Ensure(name) = plan.finalizer {
            self.ensure(root, name)?;
        }
        for write in plan.writes {
            if self.write(&write)? {
                requeue = Some(requeue.map_or(BLOCKED_RETRY, |at| at.min(BLOCKED_RETRY)));
            }
        }
        if let Some(asked) = plan.cloud {
            let (line, result) = call(asked, self.fuse);
            self.lines.push(line);
            result?;
        }
        if let Some(status) = plan.status {
            self.status(root, &status)?;
        }
        if let Finalizer::Release(name) = plan.finalizer {
            self.release(root, name)?;
        }
        Ok(requeue)
    }

    fn ensure(&mut self, root: &Root, finalizer: &str) -> Result<(), Halt> {
        if root.finalizers.iter().any(|held| held == finalizer) {
            return Ok(());
        }
        let mut all = root.finalizers.clone();
        all.push(finalizer.to_owned());
        let body = json!({"metadata": {"finalizers": all}});
        let result = self
            .api
            .merge_patch(self.program, &root.key, &root.version, &body);
        self.settle("ensure finalizer of", &root.key, result, &[])
    }

    fn release(&mut self, root: &Root, finalizer: &str) -> Result<(), Halt> {
        let result = self
            .api
            .set_finalizer(self.program, &root.key, &root.uid, finalizer, false);
        self.settle("release", &root.key, result, &[404])
    }

    fn status(&mut self, root: &Root, status: &Value) -> Result<(), Halt> {
        let result = self.api.apply_status(self.program, &root.key, &root.uid, status);
        self.settle("status of", &root.key, result, &[404])
    }

    // True when a disruption budget refused.
    fn write(&mut self, write: &Write) -> Result<bool, Halt> {
        match write {
            Write::Apply(manifest) => {
                let key = manifest.target();
                let result = self.api.apply(self.program, &key, &manifest.to_value());
                self.settle("apply", &key, result, &[]).map(|()| false)
            }
            Write::Delete(delete) => {
                let uid = Some(delete.uid.as_str());
                let result = self.api.delete(
                    self.program,
                    &delete.target,
                    uid,
                    delete.propagation,
                    delete.grace_seconds,
                );
                self.settle("delete", &delete.target, result, &[404, 409])
                    .map(|()| false)
            }
            Write::Patch(patch) => {
                let result =
                    self.api
                        .merge_patch(self.program, &patch.target, &patch.resource_version, &patch.body);
                self.settle("patch", &patch.target, result, &[]).map(|()| false)
            }
            Write::Evict(evict) => {
                let key = crate::api_server::key(Kind::Pod, &evict.namespace, &evict.name);
                let result = self
                    .api
                    .evict(self.program, &evict.namespace, &evict.name, &evict.uid);
                let blocked = matches!(result, Err(ApiError::Refused(_)));
                self.settle("evict", &key, result, &[404, 409, 429])
                    .map(|()| blocked)
            }
        }
    }

    fn settle(
        &mut self,
        verb: &str,
        key: &ObjectRef,
        result: Result<(), ApiError>,
        harmless: &[u16],
    ) -> Result<(), Halt> {
        self.wrote.push((key.kind, self.api.events().len()));
        let failure = result.err();
        let told = failure
            .as_ref()
            .map(|error| format!(" -> {error}"))
            .unwrap_or_default();
        self.lines.push(format!("{verb} {}{told}", shown(key)));
        self.fuse.burn()?;
        match failure {
            Some(error) if !harmless.contains(&code(&error)) => Err(Halt::Failed(error.to_string())),
            _ => Ok(()),
        }
    }
}

fn code(error: &ApiError) -> u16 {
    match error {
        ApiError::NotFound(_) => 404,
        ApiError::Conflict(_) => 409,
        ApiError::Invalid(_) => 422,
        ApiError::Refused(_) => 429,
    }
}

/// A plan in one line: why, and what it does.
#[must_use]
pub fn told<C: std::fmt::Debug>(plan: &Plan<C>) -> String {
    let mut words: Vec<String> = plan.reasons.iter().map(|reason| reason.code.to_owned()).collect();
    if plan.status.is_some() {
        words.push(state(plan.status.as_ref()));
    }
    if let Some(requeue) = plan.requeue {
        words.push(format!("again in {}s", requeue.as_secs()));
    }
    words.join(", ")
}

fn state(status: Option<&Value>) -> String {
    let Some(status) = status else {
        return String::new();
    };
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

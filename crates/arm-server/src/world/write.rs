//! PUT, DELETE and abort.

use std::time::Duration;

use serde_json::{Map, Value};

use super::offering::Offering;
use super::operation::OperationProgress;
use super::pool::{Ending, Pool, Running, completed};
use super::{Reply, Scripted, World};
use crate::envelope::{ArmError, flat};
use crate::errors::{Named, busy};

/// Preconditions of a write, from its headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

impl World {
    /// Creates or changes a pool.
    pub(crate) fn put(
        &mut self,
        now: Duration,
        name: &str,
        sent: &Value,
        condition: &Condition,
        scripted: Option<&Scripted>,
        with_etag: bool,
    ) -> Result<Reply, ArmError> {
        let properties = completed(name, sent)?;
        self.check_condition(name, condition, Some(Named::PreconditionOnCreate))?;
        self.check_idle(name)?;
        if let Some(reply) = self.turn_by_request(now, name, &properties, with_etag) {
            return Ok(reply);
        }
        let size = properties
            .get("vmSize")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let is_new = !self.pools.contains_key(name);
        let spent = if is_new {
            self.check_room(name, &size, &properties)?
        } else {
            None
        };
        let lasting = self.lasting(if is_new {
            self.behavior.create_ms
        } else {
            self.behavior.update_ms
        });
        let (id, seal) = self.start_operation(now);
        let ending = match (scripted, spent) {
            (Some(Scripted::Fail(error)), _) => Ending::Fail(error.clone()),
            (_, Some(error)) => Ending::Fail(error),
            _ => Ending::Succeed,
        };
        let ends_at = (scripted != Some(&Scripted::Stick)).then_some(now + lasting);
        // Nodes that exist are not created again.
        let boots = ending == Ending::Succeed;
        let boot_at = ends_at
            .filter(|_| boots)
            .and_then(|ends_at| self.boot_time(name, now, ends_at));
        let number = self.ids.digits();
        let etag = self.ids.guid();
        let previous = self.pools.get(name);
        let pool = Pool {
            name: name.to_owned(),
            properties,
            state: if is_new { "Creating" } else { "Updating" }.to_owned(),
            born: previous.map_or(now, |pool| pool.born),
            number: previous.map_or(number, |pool| pool.number),
            boot_at,
            etag,
            failure: None,
            running: Some(Running {
                operation: id.clone(),
                ends_at,
                ending,
            }),
        };
        let body = pool.body(&self.cluster_id(), with_etag);
        self.pools.insert(name.to_owned(), pool);
        let status = if is_new { 201 } else { 200 };
        Ok(Reply {
            status,
            body: Some(body),
            operation: Some((id, seal)),
            location: false,
        })
    }

    /// Deletes a pool.
    pub(crate) fn delete(
        &mut self,
        now: Duration,
        name: &str,
        condition: &Condition,
        scripted: Option<&Scripted>,
        ignores_budgets: bool,
    ) -> Result<Reply, ArmError> {
        if !self.pools.contains_key(name) {
            if self.behavior.absent_delete_is_404 {
                return Err(self.error(Named::PoolMissing, Some(name)));
            }
            return Ok(Reply {
                status: 204,
                ..Reply::default()
            });
        }
        self.check_condition(name, condition, None)?;
        let creating = self.pools.get(name).is_some_and(|pool| pool.state == "Creating");
        if !(creating && self.behavior.delete_while_creating) {
            self.check_idle(name)?;
        }
        let lasting = self.lasting(self.behavior.delete_ms);
        let (id, seal) = self.start_operation(now);
        let ending = match scripted {
            Some(Scripted::Fail(error)) => Ending::Fail(error.clone()),
            _ if !ignores_budgets && self.is_held_by_budget(name) => {
                Ending::Fail(self.error(Named::DrainFailed, Some(name)))
            }
            _ => Ending::Remove,
        };
        let ends_at = (scripted != Some(&Scripted::Stick)).then_some(now + lasting);
        let etag = self.ids.guid();
        let Some(pool) = self.pools.get_mut(name) else {
            return Ok(Reply {
                status: 204,
                ..Reply::default()
            });
        };
        let overtaken = pool.running.replace(Running {
            operation: id.clone(),
            ends_at,
            ending,
        });
        (pool.state, pool.etag, pool.boot_at) = ("Deleting".to_owned(), etag, None);
        if let Some(overtaken) = overtaken {
            let error = flat(
                409,
                "AKSOperationPreemptedByDelete",
                "The operation was preempted by a delete.",
                "",
            );
            self.end_operation(&overtaken.operation, OperationProgress::Canceled(error), now);
        }
        Ok(Reply {
            status: 202,
            body: None,
            operation: Some((id, seal)),
            location: true,
        })
    }

    /// Cancels the running operation on a pool.
    pub(crate) fn abort(&mut self, now: Duration, name: &str, with_etag: bool) -> Result<Reply, ArmError> {
        if !self.pools.contains_key(name) {
            return Err(self.error(Named::PoolMissing, Some(name)));
        }
        let lasting = self.lasting(self.behavior.abort_ms);
        let cancelable = |pool: &Pool| pool.running.as_ref().is_some_and(|r| r.ending != Ending::Cancel);
        if !self.pools.get(name).is_some_and(cancelable) {
            return Err(flat(
                409,
                "OperationNotAllowed",
                "There is no operation to abort on the agent pool.",
                "",
            ));
        }
        let canceled = self.error(Named::Canceled, Some(name));
        let (id, seal) = self.start_operation(now);
        let etag = self.ids.guid();
        let cluster_id = self.cluster_id();
        let Some(pool) = self.pools.get_mut(name) else {
            return Err(canceled);
        };
        let running = Running {
            operation: id.clone(),
            ends_at: Some(now + lasting),
            ending: Ending::Cancel,
        };
        let stopped = pool.running.replace(running);
        // The state stays until the operation has ended; there is no word for a cancellation.
        (pool.etag, pool.boot_at) = (etag, None);
        let body = pool.body(&cluster_id, with_etag);
        if let Some(stopped) = stopped {
            self.end_operation(&stopped.operation, OperationProgress::Canceled(canceled), now);
        }
        Ok(Reply {
            status: 202,
            body: Some(body),
            operation: Some((id, seal)),
            location: true,
        })
    }

    fn check_condition(
        &self,
        name: &str,
        condition: &Condition,
        absent: Option<Named>,
    ) -> Result<(), ArmError> {
        let refuse = |named: Named| Err(self.error(named, Some(name)));
        match (
            self.pools.get(name),
            &condition.if_match,
            &condition.if_none_match,
        ) {
            (Some(_), _, Some(tag)) if tag == "*" => refuse(Named::Precondition),
            (Some(pool), Some(tag), _) if tag != "*" && *tag != pool.etag => refuse(Named::Precondition),
            (None, Some(_), _) => absent.map_or(Ok(()), refuse),
            _ => Ok(()),
        }
    }

    fn check_idle(&self, name: &str) -> Result<(), ArmError> {
        if self.state.stopped {
            return Err(self.error(Named::Stopped, Some(name)));
        }
        if self.state.busy {
            return Err(self.error(Named::BusyCluster, Some(name)));
        }
        let own = self.pools.get(name).filter(|pool| pool.is_busy());
        let other = self
            .pools
            .values()
            .find(|pool| self.behavior.one_write_at_a_time && pool.is_busy());
        own.or(other)
            .map_or(Ok(()), |pool| Err(busy(&pool.name, &pool.state)))
    }

    /// Refuses a new pool over the quota, or returns the error with which it fails later, as configured.
    fn check_room(
        &self,
        name: &str,
        vm_size: &str,
        properties: &Map<String, Value>,
    ) -> Result<Option<ArmError>, ArmError> {
        let about = self.about(Some(name), Some(vm_size));
        if self.pools.len() >= self.behavior.max_pools {
            return Err(Named::TooManyPools.build(&about));
        }
        let spent = self.quota_spent(vm_size, Offering::of(properties).spot);
        match self.scarcity(properties, &about).filter(|_| !spent) {
            Some((error, true)) => return Err(error),
            Some((error, false)) => return Ok(Some(error)),
            None => {}
        }
        match (spent, self.behavior.quota_async) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(Named::QuotaAsync.build(&about))),
            (true, false) => Err(Named::QuotaSync.build(&about)),
        }
    }
}

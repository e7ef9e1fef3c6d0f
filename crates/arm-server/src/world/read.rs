//! GET, LIST, the cluster and operations.

use std::time::Duration;

use serde_json::{Value, json};

use super::operation::{DocumentStyle, OperationProgress};
use super::{Reply, World};
use crate::envelope::{ArmError, nested};
use crate::errors::Named;

impl World {
    /// The cluster's id, with the lower-case `resourcegroups` that the service writes.
    pub(crate) fn cluster_id(&self) -> String {
        let site = &self.site;
        format!(
            "/subscriptions/{}/resourcegroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
            site.subscription, site.resource_group, site.cluster
        )
    }

    /// One pool.
    pub(crate) fn get(&self, now: Duration, name: &str, with_etag: bool) -> Result<Reply, ArmError> {
        let lag = Duration::from_millis(self.behavior.get_lag_ms);
        match self.pools.get(name).filter(|pool| now >= pool.born + lag) {
            Some(pool) => Ok(ok(pool.body(&self.cluster_id(), with_etag))),
            None => Err(self.error(Named::PoolMissing, Some(name))),
        }
    }

    /// One page of pools from `skip` on, and the start of the next. The last page is always empty.
    pub(crate) fn list(&self, now: Duration, skip: usize, with_etag: bool) -> (Vec<Value>, Option<usize>) {
        let lag = Duration::from_millis(self.behavior.list_lag_ms);
        let there = self.pools.values().filter(|pool| now >= pool.born + lag);
        let gone = self
            .ghosts
            .iter()
            .map(|ghost| &ghost.pool)
            .filter(|pool| !self.pools.contains_key(&pool.name));
        let mut pools: Vec<_> = there.chain(gone).collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        let size = self.page_size();
        let id = self.cluster_id();
        let page: Vec<Value> = pools
            .iter()
            .skip(skip)
            .take(size)
            .map(|pool| pool.body(&id, with_etag))
            .collect();
        let next = (!page.is_empty() || skip == 0).then_some(skip + page.len().max(1));
        (page, next)
    }

    /// Most entries of a page.
    pub(crate) fn page_size(&self) -> usize {
        self.behavior.page_size.unwrap_or(usize::MAX).max(1)
    }

    /// The managed cluster.
    pub(crate) fn cluster(&self) -> Reply {
        let site = &self.site;
        ok(json!({
            "id": self.cluster_id(),
            "name": site.cluster,
            "location": site.location,
            "type": "Microsoft.ContainerService/ManagedClusters",
            "properties": {
                "provisioningState": if self.state.busy { "Updating" } else { "Succeeded" },
                "powerState": {"code": if self.state.stopped { "Stopped" } else { "Running" }},
                "kubernetesVersion": "1.34",
                "currentKubernetesVersion": "1.34.2",
                "nodeResourceGroup": format!("MC_{}_{}_{}", site.resource_group, site.cluster, site.location),
                "maxAgentPools": self.behavior.max_pools,
            },
        }))
    }

    /// The document of an operation. The client must send its URL unchanged.
    pub(crate) fn operation(&self, id: &str, query: &str) -> Result<Reply, ArmError> {
        let operation = self
            .operations
            .get(id)
            .filter(|operation| query.ends_with(&operation.seal));
        let Some(operation) = operation else {
            return Err(operation_missing(id));
        };
        let about = self.about(None, None);
        let early_error = self.behavior.early_error.map(|named| named.build(&about));
        let style = DocumentStyle {
            running: self.behavior.running_status.as_deref().unwrap_or("InProgress"),
            early_error: early_error.as_ref(),
            end_time: self.behavior.end_time,
        };
        Ok(ok(operation.document(id, self.epoch, &style)))
    }

    /// The result of an operation: 202 until it is done.
    pub(crate) fn operation_result(&self, id: &str, query: &str) -> Result<Reply, ArmError> {
        let operation = self
            .operations
            .get(id)
            .filter(|operation| query.ends_with(&operation.seal));
        let Some(operation) = operation else {
            return Err(operation_missing(id));
        };
        let status = if operation.progress == OperationProgress::Running {
            202
        } else {
            204
        };
        // The address is repeated, also by the last answer.
        Ok(Reply {
            status,
            operation: Some((id.to_owned(), operation.seal.clone())),
            location: true,
            ..Reply::default()
        })
    }
}

fn ok(body: Value) -> Reply {
    Reply {
        status: 200,
        body: Some(body),
        operation: None,
        location: false,
    }
}

fn operation_missing(id: &str) -> ArmError {
    nested(
        404,
        "OperationNotFound",
        &format!("The operation '{id}' could not be found."),
    )
}

//! A scenario's cluster, simulated.

use anyhow::{Result, anyhow, ensure};
use jiff::SignedDuration;
use plan::{Kind, ObjectRef};
use serde_json::Value;
use sim::api_server::key;
use sim::cloud::Fault;
use sim::fixtures;
use sim::world::World;
use workspace_plan::NodeRetention;

use super::{Snapshot, snapshot};

/// Simulated time within which any goal is reached.
const LIMIT: SignedDuration = SignedDuration::from_hours(3);
/// Simulated time after which a cluster is at rest.
const REST: SignedDuration = SignedDuration::from_mins(20);

pub(super) struct SimulatedCluster {
    world: World,
    namespace: String,
    workspace: ObjectRef,
}

impl SimulatedCluster {
    pub(super) fn new(namespace: &str, workspace: &str) -> Self {
        // The simulated cluster rests for longer than the retention of the real one, which is compared at once.
        let mut setup = fixtures::setup(1);
        setup.workspaces.tuning_node_retention = NodeRetention::Keep;
        Self {
            world: World::new(setup),
            namespace: namespace.to_owned(),
            workspace: key(Kind::Workspace, namespace, workspace),
        }
    }

    pub(super) fn apply(&mut self, object: &Value) -> Result<()> {
        let name = self.workspace.name.clone();
        self.world
            .apply_workspace(&self.namespace, &name, object, 1)
            .map_err(Into::into)
    }

    pub(super) fn plant(&mut self, key: &ObjectRef, object: &Value) -> Result<()> {
        self.world.plant(key, object.clone()).map_err(Into::into)
    }

    pub(super) fn refuse_launches(&mut self) {
        self.world.cloud.faults.stand(Fault::Sku);
    }

    pub(super) fn await_condition(&mut self, kind: &str, status: &str, reason: &str) -> Result<()> {
        let key = self.workspace.clone();
        let reached = |world: &World| {
            let Some(workspace) = world.api.get(&key) else {
                return false;
            };
            let mut conditions = workspace["status"]["conditions"].as_array().into_iter().flatten();
            workspace["status"]["observedGeneration"] == workspace["metadata"]["generation"]
                && conditions.any(|condition| {
                    condition["type"] == kind
                        && condition["status"] == status
                        && condition["reason"] == reason
                })
        };
        let done = self.world.advance_until(LIMIT, reached)?;
        ensure!(done, "simulated: {kind} is never {status} {reason}");
        Ok(())
    }

    pub(super) fn delete(&mut self) -> Result<()> {
        self.world.delete(&self.workspace);
        let gone = |world: &World| world.leftover().is_none();
        if self.world.advance_until(LIMIT, gone)? {
            return Ok(());
        }
        Err(anyhow!(
            "simulated: {} is left",
            self.world.leftover().unwrap_or_default()
        ))
    }

    pub(super) fn snapshot(&mut self) -> Result<Snapshot> {
        self.world.advance(REST)?;
        let all = self
            .world
            .api
            .all()
            .map(|(key, value)| (key.kind, (**value).clone()));
        Ok(snapshot::of(all.collect(), &self.namespace))
    }
}

//! A scenario's cluster, real: a control plane, and our programs as processes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arm_server::control::{Action, FaultRule, Named, Verb};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use plan::{Kind, ObjectRef};
use serde_json::Value;

use super::{Snapshot, snapshot};
use crate::world::{LIMIT, World};

/// Time without a change after which a cluster is at rest.
const REST: Duration = Duration::from_secs(3);

pub(super) struct RealCluster<'a> {
    world: &'a World,
    workspace: &'a str,
}

impl<'a> RealCluster<'a> {
    pub(super) fn new(world: &'a World, workspace: &'a str) -> Self {
        Self { world, workspace }
    }

    pub(super) async fn apply(&self, object: &Value) -> Result<()> {
        let key = ObjectRef {
            kind: Kind::Workspace,
            namespace: Some(self.world.namespace.clone()),
            name: self.workspace.to_owned(),
        };
        self.apply_as("user", &key, object).await
    }

    pub(super) async fn plant(&self, key: &ObjectRef, object: &Value) -> Result<()> {
        self.apply_as("somebody", key, object).await
    }

    async fn apply_as(&self, manager: &str, key: &ObjectRef, object: &Value) -> Result<()> {
        let mut object = object.clone();
        object["apiVersion"] = key.kind.api_version().into();
        object["kind"] = key.kind.as_str().into();
        object["metadata"]["name"] = key.name.as_str().into();
        self.api(key.kind)
            .patch(&key.name, &PatchParams::apply(manager), &Patch::Apply(object))
            .await?;
        Ok(())
    }

    pub(super) async fn refuse_launches(&self) -> Result<()> {
        let rule = FaultRule::once(Verb::Put, Action::respond(Named::SkuNotAvailable)).times(1000);
        self.world.cloud()?.add_fault(&rule).await?;
        Ok(())
    }

    pub(super) async fn allow_launches(&self) -> Result<()> {
        self.world.cloud()?.clear_faults().await?;
        Ok(())
    }

    /// Waits until nothing changes any more.
    pub(super) async fn snapshot(&self) -> Result<Snapshot> {
        self.world
            .env
            .eventually("a cluster at rest", LIMIT, async || {
                let before = self.objects().await?;
                tokio::time::sleep(REST).await;
                let objects = self.objects().await?;
                ensure!(before == objects, "objects still change");
                Ok(snapshot::of(objects, &self.world.namespace))
            })
            .await
    }

    async fn objects(&self) -> Result<Vec<(Kind, Value)>> {
        let mut all = Vec::new();
        for kind in snapshot::KINDS {
            let found = self.api(kind).list(&ListParams::default()).await?;
            for mut object in found.items {
                // A list leaves them out of its items.
                object.types = Some(kube::core::TypeMeta {
                    api_version: kind.api_version().to_owned(),
                    kind: kind.as_str().to_owned(),
                });
                let mut value = serde_json::to_value(object).context("failed to read an object")?;
                // A kubelet's heartbeats change nothing else.
                if kind == Kind::Node {
                    snapshot::forget(&mut value, "status");
                    snapshot::forget(&mut value["metadata"], "resourceVersion");
                    snapshot::forget(&mut value["metadata"], "managedFields");
                }
                all.push((kind, value));
            }
        }
        let namespace = &self.world.namespace;
        all.retain(|(kind, value)| snapshot::belongs(*kind, value, namespace));
        Ok(all)
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let version = kind.api_version();
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: kind.api_version().to_owned(),
            kind: kind.as_str().to_owned(),
            plural: kind.plural().to_owned(),
        };
        let client = self.world.client.clone();
        match kind {
            Kind::Machine | Kind::NodeClaim | Kind::Node => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, &self.world.namespace, &resource),
        }
    }
}

//! Actions of users and of other owners, and losses.

use cloudprovider::{Instance, Ownership};
use jiff::SignedDuration;
use kaito_api::labels::WORKSPACE_FINALIZER;
use kaito_api::names;
use plan::{Kind, ObjectRef, Propagation};
use serde_json::Value;

use super::World;
use crate::agenda::Due;
use crate::api_server::{ApiError, key, shown};
use crate::cloud::MachineEvent;
use crate::json;

const USER: &str = "user";

impl World {
    /// Applies an object as a user does.
    ///
    /// # Errors
    /// The server's.
    pub fn apply(&mut self, key: &ObjectRef, value: &Value) -> Result<(), ApiError> {
        self.note(format!("user applies {}", shown(key)));
        self.api.apply(USER, key, value)
    }

    /// Applies a Workspace that may have `slots` claims.
    ///
    /// # Errors
    /// The server's.
    pub fn apply_workspace(
        &mut self,
        namespace: &str,
        name: &str,
        value: &Value,
        slots: usize,
    ) -> Result<(), ApiError> {
        let key = key(Kind::Workspace, namespace, name);
        self.apply(&key, value)?;
        let uid = self.uid(&key);
        self.ledger.allow(&uid, slots);
        Ok(())
    }

    /// Writes into an object as a user does, if it exists.
    pub fn scribble(&mut self, key: &ObjectRef, body: &Value) {
        self.note(format!("user writes {body} into {}", shown(key)));
        let version = self
            .api
            .get(key)
            .map(|value| json::text(value, &["metadata", "resourceVersion"]).to_owned());
        let _ = self
            .api
            .merge_patch(USER, key, &version.unwrap_or_default(), body);
    }

    /// Deletes an object as a user does, if it exists.
    pub fn delete(&mut self, key: &ObjectRef) {
        self.note(format!("user deletes {}", shown(key)));
        let _ = self.api.delete(USER, key, None, Propagation::Background, None);
    }

    /// Deletes a Workspace as a user who strips our finalizer, so that nothing else is deleted.
    pub fn strip(&mut self, key: &ObjectRef) {
        self.delete(key);
        self.note(format!("user strips the finalizer of {}", shown(key)));
        let uid = self.uid(key);
        let _ = self
            .api
            .set_finalizer(USER, key, &uid, WORKSPACE_FINALIZER, false);
    }

    /// Creates an object of another owner, which no program may write.
    ///
    /// # Errors
    /// The server's.
    pub fn plant(&mut self, key: &ObjectRef, value: Value) -> Result<(), ApiError> {
        self.api.create("somebody", key, value)?;
        self.ledger.protect(key.clone());
        Ok(())
    }

    /// Creates a pool of another owner, which no program may change.
    pub fn plant_pool(&mut self, pool: Instance) {
        self.note(format!("another owner creates instance {}", pool.name));
        let name = pool.name.clone();
        self.cloud.plant(pool);
        if let Some(planted) = self.cloud.pool(&name).cloned() {
            self.ledger.protect_pool(planted);
        }
    }

    /// Removes a pool of another owner.
    pub fn uproot_pool(&mut self, name: &str) {
        self.note(format!("another owner removes instance {name}"));
        self.ledger.release_pool(name);
        self.cloud.lose(name);
    }

    /// Names of the instances that the programs and a Karpenter have created.
    #[must_use]
    pub fn own_instances(&self) -> Vec<String> {
        let pools = self.cloud.pools();
        let pools = pools.filter(|pool| pool.owner != Ownership::Foreign);
        let pools = pools.map(|pool| pool.name.as_str());
        let all = pools.chain(self.kubelet.karpenters_machines());
        all.map(str::to_owned).collect()
    }

    /// Removes an instance and its machine without a request.
    pub fn lose_pool(&mut self, name: &str) {
        if self.cloud.pool(name).is_none() {
            return self.break_machine(name);
        }
        self.note(format!("instance {name} vanishes"));
        self.cloud.lose(name);
    }

    /// Ends the machine of a pool; the pool does not show it.
    pub fn break_machine(&mut self, pool: &str) {
        self.note(format!("the machine of instance {pool} dies"));
        let now = self.now;
        self.kubelet.take(
            now,
            vec![MachineEvent::Ends {
                pool: pool.to_owned(),
            }],
        );
    }

    /// Stops the kubelet of an instance, or starts it again; the cloud does not show it.
    pub fn silence(&mut self, pool: &str, silent: bool) {
        let word = if silent { "falls silent" } else { "reports again" };
        self.note(format!("the kubelet of instance {pool} {word}"));
        self.kubelet.silence(pool, silent);
        self.schedule(Due::Kubelet, SignedDuration::ZERO);
    }

    /// Breaks this many GPUs of an instance.
    pub fn lose_gpus(&mut self, pool: &str, lost: u32) {
        self.note(format!("{lost} GPUs of instance {pool} break"));
        self.kubelet.lose_gpus(pool, lost);
        self.schedule(Due::Kubelet, SignedDuration::ZERO);
    }

    /// Takes the spot capacity of an instance back: after a notice, or at once.
    pub fn reclaim(&mut self, pool: &str, announced: bool) {
        let word = if announced { "after a notice" } else { "at once" };
        self.note(format!(
            "the spot capacity of instance {pool} is taken back {word}"
        ));
        let now = self.now;
        self.kubelet.reclaim(now, pool, announced);
        self.schedule(Due::Kubelet, SignedDuration::ZERO);
    }

    /// UID of an object; empty if it does not exist.
    #[must_use]
    pub fn uid(&self, key: &ObjectRef) -> String {
        self.api
            .get(key)
            .map(|value| json::text(value, &["metadata", "uid"]).to_owned())
            .unwrap_or_default()
    }

    /// Name of the claim for an ordinal of a Workspace.
    #[must_use]
    pub fn machine_name(&self, namespace: &str, workspace: &str, ordinal: u32) -> String {
        let uid = self.uid(&key(Kind::Workspace, namespace, workspace));
        names::claim(namespace, workspace, &uid, ordinal)
    }
}

//! What people and bad luck do to the world: apply, delete, plant, lose.

use cloudprovider::Instance;
use kaito_api::names;
use plan::{Kind, ObjectRef, Propagation};
use serde_json::Value;

use super::World;
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

    /// Applies a Workspace that may have so many claims.
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

    /// Deletes an object as a user does; nothing happens when it is not there.
    pub fn delete(&mut self, key: &ObjectRef) {
        self.note(format!("user deletes {}", shown(key)));
        let _ = self.api.delete(USER, key, None, Propagation::Background, None);
    }

    /// An object of somebody else, which no program may write.
    ///
    /// # Errors
    /// The server's.
    pub fn plant(&mut self, key: &ObjectRef, value: Value) -> Result<(), ApiError> {
        self.api.create("somebody", key, value)?;
        self.ledger.protect(key.clone());
        Ok(())
    }

    /// A pool of somebody else, which no program may change.
    pub fn plant_pool(&mut self, pool: Instance) {
        self.note(format!("somebody makes agent pool {}", pool.name));
        let name = pool.name.clone();
        self.cloud.plant(pool);
        if let Some(planted) = self.cloud.pool(&name).cloned() {
            self.ledger.protect_pool(planted);
        }
    }

    /// Somebody takes his pool away again.
    pub fn uproot_pool(&mut self, name: &str) {
        self.note(format!("somebody removes agent pool {name}"));
        self.ledger.release_pool(name);
        self.cloud.lose(name);
    }

    /// A pool and its machine vanish behind everybody's back.
    pub fn lose_pool(&mut self, name: &str) {
        self.note(format!("agent pool {name} vanishes"));
        self.cloud.lose(name);
    }

    /// The machine of a pool dies; the pool does not notice.
    pub fn break_machine(&mut self, pool: &str) {
        self.note(format!("the machine of agent pool {pool} dies"));
        let now = self.now;
        self.kubelet.take(
            now,
            vec![MachineEvent::Ends {
                pool: pool.to_owned(),
            }],
        );
    }

    /// UID of an object; empty when it is not there.
    #[must_use]
    pub fn uid(&self, key: &ObjectRef) -> String {
        self.api
            .get(key)
            .map(|value| json::text(value, &["metadata", "uid"]).to_owned())
            .unwrap_or_default()
    }

    /// Name of the claim in a slot of a Workspace that is there.
    #[must_use]
    pub fn machine_name(&self, namespace: &str, workspace: &str, ordinal: u32) -> String {
        let uid = self.uid(&key(Kind::Workspace, namespace, workspace));
        names::claim(namespace, workspace, &uid, ordinal)
    }
}

//! Starts and ends of programs, and the objects that an event concerns.

use std::sync::Arc;

use instance_types::{Catalog, CatalogError};
use jiff::SignedDuration;
use plan::{Kind, ObjectRef};
use workspace_plan::{ProvisionerMode, Upgrades};

use super::World;
use crate::agenda::Due;
use crate::api_server::{key, shown};
use crate::controllers::Program;
use crate::controllers::provisioner::Provisioner;
use crate::controllers::workspaces::Workspaces;
use crate::json;
use crate::reservation;

impl World {
    /// Starts a program: it lists everything and reconciles every object.
    pub(super) fn start(&mut self, program: Program) {
        self.note(format!("{} starts", program.name()));
        *self.transitions.entry(program).or_default() += 1;
        match program {
            Program::Workspaces => {
                self.workspaces = Some(Workspaces::start(self.setup.workspaces.clone(), &self.api));
            }
            Program::Provisioner => {
                self.provisioner = Some(Provisioner::start(
                    self.setup.provisioner.clone(),
                    self.setup.limits.as_ref(),
                    &self.api,
                    self.now,
                    self.skew,
                ));
                self.schedule(Due::List, SignedDuration::from_millis(100));
            }
        }
        program
            .reconciled_kinds()
            .iter()
            .for_each(|kind| self.wake_all(program, *kind));
    }

    /// Kills a program. It loses its memory and restarts after a while.
    pub fn kill(&mut self, program: Program) {
        self.note(format!("{} dies", program.name()));
        self.end(program);
        self.agenda.forget(program);
        let pause = i64::try_from(self.rng.between(1, 20)).unwrap_or(1);
        self.schedule(Due::Restart(program), SignedDuration::from_secs(pause));
    }

    pub(super) fn end(&mut self, program: Program) {
        match program {
            Program::Workspaces => self.workspaces = None,
            Program::Provisioner => self.provisioner = None,
        }
    }

    fn wake_all(&mut self, program: Program, kind: Kind) {
        let keys: Vec<ObjectRef> = self.api.list(kind).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.schedule(Due::Reconcile(program, key), SignedDuration::from_millis(250));
        }
    }

    /// Returns the objects that a program reconciles because of a change of this one.
    pub(super) fn concerned(&self, program: Program, changed: &ObjectRef) -> Vec<ObjectRef> {
        match program {
            Program::Workspaces => self.workspaces_of(changed),
            Program::Provisioner => self.claims_of(changed),
        }
    }

    // More than the product's watches would enqueue: a reconcile too many finds nothing to write.
    fn workspaces_of(&self, changed: &ObjectRef) -> Vec<ObjectRef> {
        let all = || self.api.list(Kind::Workspace).map(|(key, _)| key.clone());
        match changed.kind {
            Kind::Workspace => {
                let kinds = [Kind::Machine, Kind::NodeClaim].into_iter();
                let claims = kinds
                    .flat_map(|kind| self.api.list(kind))
                    .map(|(key, _)| key.clone());
                claims.chain([changed.clone()]).collect()
            }
            Kind::Machine | Kind::NodeClaim => all().chain([changed.clone()]).collect(),
            Kind::Node => all().collect(),
            // Events about claims are in the namespace `default`.
            Kind::Event if self.api.get(changed).is_some_and(|event| is_about_claim(event)) => {
                all().collect()
            }
            _ => all().filter(|key| key.namespace == changed.namespace).collect(),
        }
    }

    fn claims_of(&self, changed: &ObjectRef) -> Vec<ObjectRef> {
        match changed.kind {
            Kind::Machine | Kind::NodeClaim => {
                let nodes = self.api.list(Kind::Node).map(|(key, _)| key.clone());
                nodes.chain([changed.clone()]).collect()
            }
            Kind::Node => {
                let label = self.api.get(changed).map(|node| {
                    json::text(node, &["metadata", "labels", kaito_api::labels::AGENT_POOL]).to_owned()
                });
                let by_name = changed.name.split('-').nth(1).map(str::to_owned);
                let claim = label
                    .filter(|name| !name.is_empty())
                    .or(by_name)
                    .unwrap_or_default();
                claims(&claim).chain([changed.clone()]).collect()
            }
            Kind::Pod => {
                let node = self
                    .api
                    .get(changed)
                    .map(|pod| json::text(pod, &["spec", "nodeName"]).to_owned());
                let name = node.unwrap_or_default();
                // A deleted pod has no node any more; the drain requeues by itself.
                let claim = name.split('-').nth(1).unwrap_or_default();
                if claim.is_empty() {
                    Vec::new()
                } else {
                    claims(claim).collect()
                }
            }
            _ => Vec::new(),
        }
    }

    /// Restarts the workspace controller with another kind of claim.
    pub fn claim_by(&mut self, mode: ProvisionerMode) {
        self.note(format!("claims are created as {mode:?}"));
        self.setup.workspaces.mode = mode;
        self.kill(Program::Workspaces);
    }

    /// Restarts the workspace controller with another base image, as an upgrade of the chart does.
    pub fn upgrade(&mut self, image: &str) {
        self.note(format!("the base image is {image}"));
        self.setup.workspaces.images.base = image.to_owned();
        self.kill(Program::Workspaces);
    }

    /// Restarts the workspace controller with a file of instance types, all of which the cloud has.
    ///
    /// # Errors
    /// The file is refused.
    pub fn use_types(&mut self, text: &str) -> Result<(), CatalogError> {
        let built_in = Catalog::embedded().map_err(Clone::clone)?;
        let types = Arc::new(built_in.with_files([("types.yaml", text)])?.catalog);
        self.note("the administrator lists instance types");
        self.setup.workspaces.instance_types = Arc::clone(&types);
        self.kubelet.types = types;
        self.kill(Program::Workspaces);
        Ok(())
    }

    /// Restarts the workspace controller with this time of upgrades, if it is another.
    pub fn upgrades(&mut self, upgrades: Upgrades) {
        if self.setup.workspaces.upgrades == upgrades {
            return;
        }
        self.note(format!("upgrades are {upgrades:?}"));
        self.setup.workspaces.upgrades = upgrades;
        self.kill(Program::Workspaces);
    }

    /// Number of starts of a program.
    pub(super) fn starts(&self, program: Program) -> u64 {
        self.transitions.get(&program).copied().unwrap_or_default()
    }

    /// Returns true if gpu-provisioner's claims may have reserved capacity.
    #[must_use]
    pub(crate) fn has_reservation(&self) -> bool {
        self.setup.provisioner.machine_class == reservation::CLASS
    }

    /// Kind of claim that the workspace controller creates.
    #[must_use]
    pub fn mode(&self) -> ProvisionerMode {
        self.setup.workspaces.mode
    }

    /// Returns program and object, for the trace.
    pub(super) fn named(program: Program, key: &ObjectRef) -> String {
        format!("{}: {}", program.name(), shown(key))
    }
}

fn is_about_claim(event: &serde_json::Value) -> bool {
    json::text(event, &["involvedObject", "kind"]) == "NodeClaim"
}

// The claims of both kinds that may have the name.
fn claims(name: &str) -> impl Iterator<Item = ObjectRef> {
    [Kind::Machine, Kind::NodeClaim]
        .map(|kind| key(kind, "", name))
        .into_iter()
}

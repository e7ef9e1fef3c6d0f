//! One Workspace with its surroundings, and plans as short texts.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::{Claim, ClaimKind, Workspace, WorkspaceStatus};
use plan::{Finalizer, Manifest, Plan, Write};
use serde_json::Value;
use workspace_plan::{Observed, PresetLookup, ProvisionerMode, Settings, Workloads};

use crate::objects::{self, claim, claim_name, node, parse, preset, t};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) observed: Observed,
    pub(crate) settings: Settings,
    pub(crate) now: Timestamp,
}

impl Case {
    /// Returns the message of the stored condition `WorkspaceReady`.
    pub(crate) fn stored_message(&self) -> String {
        let status = self.observed.workspace.status.as_ref().unwrap();
        let ready = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "WorkspaceReady");
        ready.unwrap().message.clone()
    }

    pub(crate) fn new(workspace: Value, preset: PresetLookup) -> Self {
        Self {
            observed: Observed {
                workspace: Arc::new(parse(workspace)),
                preset,
                model_source: Default::default(),
                claims: Vec::new(),
                same_named: Vec::new(),
                grant: workspace_plan::Grant::Granted,
                turn: workspace_plan::Turn::None,
                weights_claims: Vec::new(),
                launch_backoffs: std::collections::BTreeMap::new(),
                unavailable: Vec::new(),
                capacity: None,
                nodes: Vec::new(),
                workloads: Workloads::default(),
                revisions: Vec::new(),
                pods: Vec::new(),
                config: workspace_plan::ConfigLookup::NotNeeded,
                warnings: Vec::new(),
            },
            settings: Settings {
                mode: ProvisionerMode::Machine,
                node_claims: render::NodeClaimOptions::default(),
                offerings: Default::default(),
                cloud: instance_types::Cloud::Azure,
                instance_types: instance_types::Catalog::embedded().unwrap().clone().into(),
                tuning_node_retention: Default::default(),
                engine: Default::default(),
                retired_types: Default::default(),
                upgrades: Default::default(),
                ceilings: Default::default(),
                max_nodes: Default::default(),
                node_image_family: "ubuntu".to_owned(),
                images: render::Images::of_registry("registry.example.com/kaito", "0.1.0"),
                downloads: render::Downloads::default(),
                outgoing: render::Outgoing::default(),
                serving: render::Serving::default(),
                image_volumes: true,
                isolation: render::Isolation::default(),
            },
            now: t(0),
        }
    }

    /// A Workspace that serves a preset of the catalog.
    pub(crate) fn serving(name: &str) -> Self {
        Self::new(objects::inference(name), PresetLookup::Found(preset(name)))
    }

    /// A Workspace that tunes.
    pub(crate) fn tuning() -> Self {
        Self::tuning_of("phi-3-mini-4k-instruct")
    }

    /// A Workspace that tunes a preset of the catalog.
    pub(crate) fn tuning_of(name: &str) -> Self {
        Self::new(objects::tuning(), PresetLookup::Found(preset(name)))
    }

    /// On nodes of this instance type.
    pub(crate) fn on(self, instance_type: &str) -> Self {
        self.edit(|workspace| {
            workspace.spec.resource.as_mut().unwrap().instance_type = instance_type.to_owned();
        })
    }

    /// With a provisioner of claims of this kind.
    pub(crate) fn claiming(mut self, kind: ClaimKind) -> Self {
        self.settings.mode = match kind {
            ClaimKind::Machine => ProvisionerMode::Machine,
            ClaimKind::NodeClaim => ProvisionerMode::NodeClaim,
        };
        self
    }

    pub(crate) fn byo(mut self) -> Self {
        self.settings.mode = ProvisionerMode::Byo;
        self.edit(|workspace| {
            if let Some(resource) = &mut workspace.spec.resource {
                resource.instance_type = String::new();
            }
        })
    }

    /// With a change of the Workspace. The API server counts those of its spec.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut Workspace)) -> Self {
        let workspace = Arc::make_mut(&mut self.observed.workspace);
        let before = workspace.spec.clone();
        change(workspace);
        if workspace.spec != before {
            let generation = workspace.metadata.generation.get_or_insert_default();
            *generation += 1;
        }
        self
    }

    pub(crate) fn annotated(self, key: &str, value: &str) -> Self {
        self.edit(|workspace| {
            let annotations = workspace.metadata.annotations.get_or_insert_default();
            annotations.insert(key.to_owned(), value.to_owned());
        })
    }

    pub(crate) fn deleted(self) -> Self {
        let now = self.now;
        self.edit(|workspace| workspace.metadata.deletion_timestamp = Some(Time(now)))
    }

    /// With ready claims and Nodes for this many ordinals.
    pub(crate) fn with_nodes(mut self, nodes: u32, gpus: u32) -> Self {
        let kind = self.settings.mode.claim_kind().unwrap_or(ClaimKind::Machine);
        self.observed.claims = (0..nodes).map(|ordinal| claim(kind, ordinal, None)).collect();
        self.observed.nodes = (0..nodes)
            .map(|ordinal| Arc::new(node(&claim_name(ordinal), true, gpus)))
            .collect();
        self
    }

    pub(crate) fn plan(&self) -> Plan {
        workspace_plan::plan(self.now, &self.observed.clone().at_fixed_commit(), &self.settings)
    }

    /// The report about refused writes.
    pub(crate) fn report(&self, refusals: &[plan::RefusedWrite]) -> plan::Report {
        let observed = self.observed.clone().at_fixed_commit();
        workspace_plan::report(self.now, &observed, &self.settings, refusals)
    }

    /// With the plan executed, except for the writes that are refused: the status is the report's.
    pub(crate) fn stored_but(mut self, refuses: impl Fn(&Write) -> Option<plan::RefusedWrite>) -> Self {
        let plan = self.plan();
        let mut refusals = Vec::new();
        for write in &plan.writes {
            match refuses(write) {
                Some(refusal) => refusals.push(refusal),
                None => self.carry_out(write),
            }
        }
        let before = self.clone();
        let status = if refusals.is_empty() {
            plan.status
        } else {
            before.report(&refusals).status
        };
        match status {
            Some(status) => self.edit(|workspace| workspace.status = Some(parse(status))),
            None => self,
        }
    }

    /// With the plan executed: objects and status are as planned, and controllers have done nothing yet.
    pub(crate) fn stored(mut self) -> Self {
        let plan = self.plan();
        for write in &plan.writes {
            self.carry_out(write);
        }
        if let Finalizer::Ensure(finalizer) = plan.finalizer {
            self = self.edit(|workspace| workspace.metadata.finalizers = Some(vec![finalizer.to_owned()]));
        }
        if let Some(status) = plan.status {
            let status: WorkspaceStatus = parse(status);
            self = self.edit(|workspace| workspace.status = Some(status));
        }
        self
    }

    fn carry_out(&mut self, write: &Write) {
        match write {
            Write::Apply(manifest) => self.store(manifest),
            Write::Delete(delete) => {
                let workloads = &mut self.observed.workloads;
                self.observed.claims.retain(|claim| claim.uid() != delete.uid);
                let gone = |metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
                    metadata.uid.as_deref() == Some(&delete.uid)
                };
                workloads.deployment.take_if(|object| gone(&object.metadata));
                workloads.stateful_set.take_if(|object| gone(&object.metadata));
                workloads.job.take_if(|object| gone(&object.metadata));
                workloads.service.take_if(|object| gone(&object.metadata));
                workloads
                    .headless_service
                    .take_if(|object| gone(&object.metadata));
                workloads.tuning_config.take_if(|object| gone(&object.metadata));
                workloads.network_policy.take_if(|object| gone(&object.metadata));
                self.observed.revisions.retain(|object| !gone(&object.metadata));
            }
            Write::Patch(patch) => self.patch(patch),
            Write::Evict(_) => panic!("a Workspace evicts nothing"),
        }
    }

    fn patch(&mut self, patch: &plan::MergePatch) {
        let workloads = &mut self.observed.workloads;
        match patch.target.kind {
            plan::Kind::Deployment => patched(&mut workloads.deployment, &patch.body),
            plan::Kind::StatefulSet => patched(&mut workloads.stateful_set, &patch.body),
            other => panic!("{other:?} is not patched"),
        }
    }

    fn store(&mut self, manifest: &Manifest) {
        let mut value = manifest.to_value();
        let name = value["metadata"]["name"].as_str().unwrap().to_owned();
        let uid = format!("uid-of-{}-{name}", manifest.kind().as_str());
        value["metadata"]["uid"] = uid.into();
        value["metadata"]["generation"] = 1.into();
        value["metadata"]["resourceVersion"] = "9".into();
        let workloads = &mut self.observed.workloads;
        match manifest.kind() {
            plan::Kind::Machine | plan::Kind::NodeClaim => {
                let of_name = |claim: &&Claim| {
                    claim.name() == name && plan::Kind::from(claim.claim_kind()) == manifest.kind()
                };
                let old = self.observed.claims.iter().find(of_name).cloned();
                let stored = restored(manifest.kind(), value, old.as_ref());
                self.observed.claims.retain(|claim| !of_name(&claim));
                self.observed.claims.push(stored);
            }
            plan::Kind::Deployment => workloads.deployment = Some(Arc::new(parse(value))),
            plan::Kind::StatefulSet => workloads.stateful_set = Some(Arc::new(parse(value))),
            plan::Kind::Job => workloads.job = Some(Arc::new(parse(value))),
            plan::Kind::ConfigMap => workloads.tuning_config = Some(Arc::new(parse(value))),
            plan::Kind::NetworkPolicy => workloads.network_policy = Some(Arc::new(parse(value))),
            plan::Kind::ControllerRevision => {
                let same = |object: &&Arc<ControllerRevision>| object.metadata.name.as_deref() == Some(&name);
                self.observed.revisions.retain(|object| !same(&object));
                self.observed.revisions.push(Arc::new(parse(value)));
            }
            plan::Kind::Service if name.ends_with("-headless") => {
                workloads.headless_service = Some(Arc::new(parse(value)));
            }
            plan::Kind::Service => workloads.service = Some(Arc::new(parse(value))),
            other => panic!("{other:?} is not applied"),
        }
    }

    /// With a workload whose pods are ready.
    pub(crate) fn answering(mut self) -> Self {
        let workloads = &mut self.observed.workloads;
        if let Some(deployment) = &mut workloads.deployment {
            let deployment = Arc::make_mut(deployment);
            let replicas = deployment.spec.replicas;
            let status = deployment.status.get_or_insert_default();
            (status.observed_generation, status.available_replicas) = (Some(1), replicas);
            (status.replicas, status.updated_replicas) = (replicas, replicas);
        }
        if let Some(set) = &mut workloads.stateful_set {
            let set = Arc::make_mut(set);
            let replicas = set.spec.replicas;
            let status = set.status.get_or_insert_default();
            (status.observed_generation, status.ready_replicas) = (Some(1), replicas);
            (status.replicas, status.updated_replicas) = (replicas.unwrap_or(1), replicas);
        }
        self
    }
}

fn patched<K: serde::Serialize + serde::de::DeserializeOwned>(object: &mut Option<Arc<K>>, body: &Value) {
    let mut value = serde_json::to_value(object.as_deref().unwrap()).unwrap();
    merge(&mut value, body);
    *object = Some(Arc::new(parse(value)));
}

fn merge(value: &mut Value, body: &Value) {
    match body {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, field)| merge(&mut value[key], field)),
        other => *value = other.clone(),
    }
}

/// The claim as the API server stores it: the status is kept, and the spec of a NodeClaim is immutable.
fn restored(kind: plan::Kind, mut value: Value, old: Option<&Claim>) -> Claim {
    if let Some(old) = old {
        let old = serde_json::to_value(old).unwrap();
        value["status"] = old["status"].clone();
        if kind == plan::Kind::NodeClaim {
            assert_eq!(value["spec"], old["spec"], "the spec of a NodeClaim is immutable");
        }
    }
    match kind {
        plan::Kind::Machine => parse::<kaito_api::Machine>(value).into(),
        _ => parse::<kaito_api::NodeClaim>(value).into(),
    }
}

/// The writes of a plan as short texts, in their order.
pub(crate) fn actions(plan: &Plan) -> Vec<String> {
    let mut all: Vec<String> = plan.writes.iter().map(action).collect();
    match plan.finalizer {
        Finalizer::Leave => {}
        Finalizer::Ensure(_) => all.insert(0, "claim".to_owned()),
        Finalizer::Release(_) => all.push("release".to_owned()),
    }
    all
}

fn action(write: &Write) -> String {
    match write {
        Write::Apply(manifest) => format!("apply {}", manifest.kind().as_str()),
        Write::Delete(delete) => format!("delete {} {}", delete.target.kind.as_str(), delete.target.name),
        Write::Patch(patch) => format!("patch {}", patch.target.name),
        Write::Evict(evict) => format!("evict {}", evict.name),
    }
}

/// A condition of the planned status: `Status/Reason: message`.
pub(crate) fn condition(plan: &Plan, kind: &str) -> String {
    let status = plan.status.as_ref().expect("a status is written");
    let all = status["conditions"].as_array().unwrap();
    let found = all.iter().find(|condition| condition["type"] == kind);
    found.map_or_else(String::new, |condition| {
        let text = |key: &str| condition[key].as_str().unwrap().to_owned();
        format!("{}/{}: {}", text("status"), text("reason"), text("message"))
    })
}

/// The state in the planned status.
pub(crate) fn state(plan: &Plan) -> String {
    plan.status.as_ref().unwrap()["state"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Checks that the API server would accept the plan, and checks one condition and all writes.
#[track_caller]
pub(crate) fn check(case: &Case, kind: &str, starts: &str, does: &[&str]) {
    let plan = case.plan();
    assert_eq!(plan_check::check(&plan), vec![], "{:?}", plan.reasons);
    let says = condition(&plan, kind);
    assert!(says.starts_with(starts), "{kind} is {says}");
    assert_eq!(actions(&plan), does, "{:?}", plan.reasons);
}

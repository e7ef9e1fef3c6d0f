//! The workspace controller's shell: observes Workspaces and what belongs to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kaito_api::labels::{WORKSPACE, WORKSPACE_NAMESPACE};
use kaito_api::{Claim, Workspace, names, selector};
use plan::ObjectRef;
use workspace_plan::{Observed, ProvisionerMode, Settings, Workloads};

use super::Program;
use super::own_writes::OwnWrites;
use super::presets::{Presets, Registry};
use crate::api_server::ApiServer;
use crate::view::View;

/// The shell and everything that a restart loses.
#[derive(Clone, Debug)]
pub struct Workspaces {
    /// The planner's settings.
    pub settings: Settings,
    /// What its stores show.
    pub view: View,
    /// What the registry said.
    pub presets: Presets,
    /// What it wrote.
    pub own_writes: OwnWrites,
    /// Passes that failed in a row, by object.
    pub failures: BTreeMap<ObjectRef, u32>,
}

impl Workspaces {
    /// A freshly started program.
    #[must_use]
    pub fn start(settings: Settings, api: &ApiServer) -> Self {
        Self {
            settings,
            view: View::listed(api, Program::Workspaces.kinds()),
            presets: Presets::default(),
            own_writes: OwnWrites::default(),
            failures: BTreeMap::new(),
        }
    }

    /// Everything about one Workspace; `None` when the store has it not.
    pub fn observe(
        &mut self,
        namespace: &str,
        name: &str,
        registry: &Registry,
        api: &ApiServer,
    ) -> Option<Observed> {
        let workspace = self.view.workspace(namespace, name)?;
        let mut claims: Vec<Claim> = self
            .view
            .claims()
            .filter(|claim| is_of(&claim.metadata().labels, namespace, name))
            .collect();
        if workspace.metadata.deletion_timestamp.is_some() && claims.is_empty() {
            // Past the stores: what they do not show yet would never be given back.
            let live = View::listed(api, &[plan::Kind::Machine, plan::Kind::NodeClaim]);
            let own = |claim: &Claim| is_of(&claim.metadata().labels, namespace, name);
            claims = live.claims().filter(own).collect();
        }
        let preset = self.presets.lookup(registry, preset_name(&workspace));
        let nodes = self.nodes(&workspace, &claims, namespace, name);
        let workloads = self.workloads(namespace, name);
        let pods = self.pods(namespace, name);
        Some(Observed {
            workspace,
            preset,
            claims,
            launch_backoffs: BTreeMap::new(),
            nodes,
            workloads,
            pods,
        })
    }

    fn nodes(&self, workspace: &Workspace, claims: &[Claim], namespace: &str, name: &str) -> Vec<Arc<Node>> {
        let named: BTreeSet<&str> = claims.iter().map(Claim::node_name).collect();
        let wanted = workspace
            .spec
            .resource
            .as_ref()
            .map(|resource| selector::labels(&resource.label_selector));
        let brought = |node: &Node| {
            let has = |(key, value): (&String, &String)| {
                node.metadata.labels.as_ref().and_then(|labels| labels.get(key)) == Some(value)
            };
            self.settings.mode == ProvisionerMode::Byo && wanted.as_ref().is_some_and(|w| w.iter().all(has))
        };
        self.view
            .nodes()
            .filter(|node| {
                node.metadata
                    .name
                    .as_deref()
                    .is_some_and(|name| named.contains(name))
                    || is_of(&node.metadata.labels, namespace, name)
                    || brought(node)
            })
            .map(Arc::clone)
            .collect()
    }

    fn workloads(&self, namespace: &str, name: &str) -> Workloads {
        Workloads {
            deployment: self.view.deployment(namespace, name),
            stateful_set: self.view.stateful_set(namespace, name),
            job: self.view.job(namespace, name),
            service: self.view.service(namespace, name),
            headless_service: self.view.service(namespace, &names::headless_service(name)),
            tuning_config: self.view.config_map(namespace, &names::tuning_config(name)),
        }
    }

    fn pods(&self, namespace: &str, name: &str) -> Vec<Arc<Pod>> {
        let labelled = |pod: &Pod| {
            pod.metadata
                .labels
                .as_ref()
                .and_then(|l| l.get(WORKSPACE))
                .is_some_and(|v| v == name)
        };
        self.view
            .pods()
            .filter(|pod| pod.metadata.namespace.as_deref() == Some(namespace) && labelled(pod))
            .map(Arc::clone)
            .collect()
    }
}

/// Name of the preset that a Workspace names; empty when it names none.
#[must_use]
pub fn preset_name(workspace: &Workspace) -> &str {
    let inference = workspace
        .spec
        .inference
        .as_ref()
        .and_then(|inference| inference.preset.as_ref());
    let tuning = workspace
        .spec
        .tuning
        .as_ref()
        .and_then(|tuning| tuning.preset.as_ref());
    inference.or(tuning).map_or("", |preset| preset.name.as_str())
}

fn is_of(labels: &Option<BTreeMap<String, String>>, namespace: &str, name: &str) -> bool {
    let has = |key: &str, value: &str| {
        labels
            .as_ref()
            .and_then(|l| l.get(key))
            .is_some_and(|found| found == value)
    };
    has(WORKSPACE, name) && has(WORKSPACE_NAMESPACE, namespace)
}

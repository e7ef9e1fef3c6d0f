//! The facts that are judged: the operator, its claims and its nodes.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kaito_api::capacity::{CAPACITY_SUFFIX, CapacityRecord};
use kaito_api::fleet::{FLEET_KEY, FLEET_SUFFIX, FleetRecord};
use kaito_api::{Claim, Workspace, labels};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde::Serialize;

use crate::cluster::{self, ClusterAccess, in_time, list};

/// Object that marks the one release of a cluster.
const MARKER: &str = "kaito-release";
const RELEASE_NAMESPACE: &str = "kaito.sh/release-namespace";
const INSTANCE: &str = "app.kubernetes.io/instance";
const VERSION: &str = "app.kubernetes.io/version";
pub(super) const COMPONENT: &str = "app.kubernetes.io/component";
const CHART: &str = "helm.sh/chart";
/// Chooses the objects of the chart.
const PART: &str = "app.kubernetes.io/part-of=kaito";

/// The installation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReleaseLine {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) chart: String,
    pub(super) version: String,
}

/// Names of kinds for people.
const WORKSPACES: &str = "Workspaces";
pub(super) const CLAIMS: &str = "Machines and NodeClaims";
const NODES: &str = "Nodes";

/// Everything that is judged.
#[derive(Clone, Debug, Default)]
pub(super) struct ClusterFacts {
    pub(super) release: Option<ReleaseLine>,
    pub(super) workspaces: Vec<Workspace>,
    pub(super) claims: Vec<Claim>,
    pub(super) nodes: Vec<Node>,
    /// Pods of Workspaces.
    pub(super) pods: Vec<Pod>,
    /// `None` without a record.
    pub(super) fleet: Option<FleetRecord>,
    /// Quota and restrictions of the subscription; `None` if the release does not read them.
    pub(super) capacity: Option<CapacityRecord>,
    pub(super) deployments: Vec<Deployment>,
    pub(super) accounts: Vec<ServiceAccount>,
    pub(super) leases: Vec<Lease>,
    /// `None` if the user may not list them.
    pub(super) definitions: Option<Vec<CustomResourceDefinition>>,
    pub(super) policies: Vec<String>,
    /// Policies that are bound.
    pub(super) bound: Vec<String>,
    /// `None` if the user may not list them.
    pub(super) daemon_sets: Option<Vec<DaemonSet>>,
    /// Kinds that the user may not list, of those that an uninstallation waits for.
    pub(super) unlisted: Vec<&'static str>,
    pub(super) notes: Vec<String>,
}

impl ClusterFacts {
    /// Reads them once. What the user may not read is left out with a note.
    ///
    /// # Errors
    /// Fails if the API server does not respond, or Workspaces and claims cannot be listed.
    pub(super) async fn read(access: &ClusterAccess, named: &str) -> anyhow::Result<Self> {
        let client = &access.client;
        let mut notes = Vec::new();
        let all = ListParams::default();
        let of_chart = ListParams::default().labels(PART);
        let release = release(access, named, &mut notes).await?;
        let namespace = release.as_ref().map(|release| release.namespace.clone());
        let namespace = namespace.unwrap_or_else(|| named.split('/').next().unwrap_or_default().to_owned());
        let names = |policies: Option<Vec<ValidatingAdmissionPolicy>>| {
            let policies = policies.unwrap_or_default();
            policies.iter().map(|policy| policy.name_any()).collect()
        };
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
        let bindings = list(&bindings, &of_chart, &mut notes).await?.unwrap_or_default();
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let maps = list(&config_maps, &of_chart, &mut notes)
            .await?
            .unwrap_or_default();
        let workspaces = list(&Api::all(client.clone()), &all, &mut notes).await?;
        let claims = cluster::claims(client, &all, &mut notes).await?;
        let nodes = list(&Api::all(client.clone()), &all, &mut notes).await?;
        let listed = [
            (WORKSPACES, workspaces.is_some()),
            (CLAIMS, claims.is_some()),
            (NODES, nodes.is_some()),
        ];
        let unlisted = listed.into_iter().filter(|(_, is_listed)| !is_listed);
        Ok(Self {
            unlisted: unlisted.map(|(kind, _)| kind).collect(),
            workspaces: workspaces.unwrap_or_default(),
            claims: claims.unwrap_or_default(),
            nodes: nodes.unwrap_or_default(),
            pods: list(
                &Api::all(client.clone()),
                &ListParams::default().labels(labels::WORKSPACE),
                &mut notes,
            )
            .await?
            .unwrap_or_default(),
            fleet: fleet(&maps, &mut notes),
            capacity: capacity(&maps, &mut notes),
            deployments: list(
                &Api::namespaced(client.clone(), &namespace),
                &of_chart,
                &mut notes,
            )
            .await?
            .unwrap_or_default(),
            accounts: list(
                &Api::namespaced(client.clone(), &namespace),
                &of_chart,
                &mut notes,
            )
            .await?
            .unwrap_or_default(),
            leases: list(
                &Api::namespaced(client.clone(), &namespace),
                &of_chart,
                &mut notes,
            )
            .await?
            .unwrap_or_default(),
            definitions: list(&Api::all(client.clone()), &all, &mut notes).await?,
            policies: names(list(&Api::all(client.clone()), &of_chart, &mut notes).await?),
            bound: bindings
                .into_iter()
                .map(|binding| binding.spec.policy_name)
                .collect(),
            daemon_sets: list(&Api::all(client.clone()), &all, &mut notes).await?,
            release,
            notes,
        })
    }

    /// Returns true if the objects of this kind could be listed.
    pub(super) fn knows(&self, kind: &str) -> bool {
        !self.unlisted.contains(&kind)
    }

    /// The Workspace that the labels of a claim or Node name.
    pub(super) fn workspace_of(&self, marks: &BTreeMap<String, String>) -> Option<&Workspace> {
        let name = marks.get(labels::WORKSPACE)?;
        let namespace = marks.get(labels::WORKSPACE_NAMESPACE)?;
        let mut all = self.workspaces.iter();
        all.find(|workspace| workspace.name() == name && workspace.namespace() == namespace)
    }
}

/// The release that the marker names; without the right to read it, the one of the flag.
async fn release(
    access: &ClusterAccess,
    named: &str,
    notes: &mut Vec<String>,
) -> anyhow::Result<Option<ReleaseLine>> {
    let api: Api<ClusterRole> = Api::all(access.client.clone());
    let marker = match in_time(api.get(MARKER)).await {
        Ok(marker) => marker,
        Err(error) => match cluster::refusal(&error) {
            Some(404) => return Ok(None),
            Some(403) => {
                notes.push(format!(
                    "You may not read ClusterRole {MARKER}: release {named} is assumed."
                ));
                let (namespace, name) = named.split_once('/').unwrap_or((named, "kaito"));
                return Ok(Some(ReleaseLine {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    ..ReleaseLine::default()
                }));
            }
            _ => return Err(error.context("failed to look for the release")),
        },
    };
    let of = |key: &str| marker.labels().get(key).cloned().unwrap_or_default();
    Ok(Some(ReleaseLine {
        namespace: marker
            .annotations()
            .get(RELEASE_NAMESPACE)
            .cloned()
            .unwrap_or_default(),
        name: of(INSTANCE),
        chart: of(CHART),
        version: of(VERSION),
    }))
}

fn fleet(maps: &[ConfigMap], notes: &mut Vec<String>) -> Option<FleetRecord> {
    let found = maps.iter().find(|map| map.name_any().ends_with(FLEET_SUFFIX))?;
    let text = found.data.as_ref()?.get(FLEET_KEY)?;
    match serde_json::from_str(text) {
        Ok(record) => Some(record),
        Err(error) => {
            notes.push(format!("ConfigMap {} cannot be read: {error}.", found.name_any()));
            None
        }
    }
}

fn capacity(maps: &[ConfigMap], notes: &mut Vec<String>) -> Option<CapacityRecord> {
    let found = maps
        .iter()
        .find(|map| map.name_any().ends_with(CAPACITY_SUFFIX))?;
    match CapacityRecord::parse(found.data.as_ref().unwrap_or(&BTreeMap::new())) {
        Ok(record) => Some(record),
        Err(error) => {
            notes.push(format!("ConfigMap {} cannot be read: {error}.", found.name_any()));
            None
        }
    }
}

/// Component that the labels of a Deployment name.
pub(super) fn component(deployment: &Deployment) -> &str {
    deployment.labels().get(COMPONENT).map_or("", String::as_str)
}

/// Version that the labels of an object name.
pub(super) fn version(marks: &BTreeMap<String, String>) -> &str {
    marks.get(VERSION).map_or("", String::as_str)
}

//! One Workspace and its surroundings, sorted, so that the order of observed objects cannot matter.

use std::collections::BTreeMap;
use std::sync::Arc;

use instance_types::{Cloud, InstanceType};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kaito_api::labels::WORKSPACE_FINALIZER;
use kaito_api::{Claim, ClaimKind, Workspace, WorkspaceStatus};
use plan::RefusedWrite;
use render::Platform;

use crate::metadata;
use crate::observed::Observed;
use crate::pod_state;
use crate::settings::Settings;
use crate::workload::{self, JobProgress, NamedObject, Workload};

/// Everything that a planner knows in one reconcile.
#[derive(Debug)]
pub(crate) struct PlanContext<'a> {
    pub(crate) now: Timestamp,
    pub(crate) observed: &'a Observed,
    pub(crate) settings: &'a Settings,
    /// Writes of this plan that the API server refused, as far as the status shows them.
    pub(crate) refusals: Vec<RefusedWrite>,
    pub(crate) platform: Platform,
    /// By name and kind.
    pub(crate) claims: BTreeMap<(&'a str, ClaimKind), &'a Claim>,
    /// By name.
    pub(crate) nodes: BTreeMap<&'a str, &'a Node>,
    /// Pods that the workload controls, by name; without terminating ones. Their label alone proves nothing: anyone in
    /// the namespace can create a pod with it.
    pub(crate) pods: BTreeMap<&'a str, &'a Pod>,
    /// Observed objects of the names that we would give, also those of other owners, in a fixed order.
    pub(crate) named: Vec<NamedObject<'a>>,
    /// The Workspace's own workload, unless it is terminating.
    pub(crate) workload: Option<Workload<'a>>,
    /// Progress of that workload, where it is a Job.
    pub(crate) job_progress: JobProgress,
}

impl<'a> PlanContext<'a> {
    pub(crate) fn new(now: Timestamp, observed: &'a Observed, settings: &'a Settings) -> Self {
        let workload = workload::current(&observed.workloads, observed.workspace.uid());
        let pods: BTreeMap<&str, &Pod> = by_name(&observed.pods, |pod| &pod.metadata)
            .filter(|(_, pod)| metadata::is_live(&pod.metadata))
            .filter(|(_, pod)| workload.is_none_or(|workload| workload.controls(&pod.metadata)))
            .collect();
        let has_begun = pods.values().any(|pod| pod_state::has_begun(pod));
        Self {
            now,
            observed,
            settings,
            refusals: Vec::new(),
            platform: Platform {
                images: settings.images.clone(),
                downloads: settings.downloads.clone(),
                outgoing: settings.outgoing.clone(),
                claimed: settings.mode.claim_kind().is_some(),
                aks: settings.cloud == Cloud::Azure,
                image_volumes: settings.image_volumes,
                node_taints: settings.node_claims.contents.taints.clone(),
                isolation: settings.isolation(&observed.claims),
            },
            claims: observed
                .claims
                .iter()
                .map(|claim| ((claim.name(), claim.claim_kind()), claim))
                .collect(),
            nodes: by_name(&observed.nodes, |node| &node.metadata).collect(),
            pods,
            named: workload::named(&observed.workloads),
            workload,
            job_progress: workload
                .and_then(Workload::job)
                .map_or(JobProgress::Absent, |job| JobProgress::of(job, has_begun)),
        }
    }

    pub(crate) fn workspace(&self) -> &'a Workspace {
        &self.observed.workspace
    }

    /// Returns true if the Workspace is not being deleted.
    pub(crate) fn is_live(&self) -> bool {
        !self.workspace().is_terminating()
    }

    /// Returns true if the Workspace carries our finalizer.
    pub(crate) fn has_finalizer(&self) -> bool {
        let finalizers = self.workspace().metadata.finalizers.as_deref();
        finalizers.is_some_and(|all| all.iter().any(|finalizer| finalizer == WORKSPACE_FINALIZER))
    }

    pub(crate) fn generation(&self) -> i64 {
        self.workspace().metadata.generation.unwrap_or_default()
    }

    pub(crate) fn status(&self) -> Option<&'a WorkspaceStatus> {
        self.workspace().status.as_ref()
    }

    pub(crate) fn conditions(&self) -> &'a [Condition] {
        self.status()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default()
    }

    /// Returns true if nodes are created for the Workspace; false if users bring their own.
    pub(crate) fn creates_nodes(&self) -> bool {
        self.settings.mode.claim_kind().is_some()
    }

    /// Looks an instance type of the cloud up.
    pub(crate) fn instance_type(&self, name: &str) -> Option<&'a InstanceType> {
        self.settings.instance_types.lookup(self.settings.cloud, name)
    }

    /// The Workspace's tuning Job.
    pub(crate) fn job(&self) -> Option<&'a Job> {
        self.workload.and_then(Workload::job)
    }

    /// Returns true if this Workspace, not merely one of its name, controls the object.
    pub(crate) fn owns(&self, object: &ObjectMeta) -> bool {
        metadata::controller(object).is_some_and(|owner| owner.uid == self.workspace().uid())
    }
}

fn by_name<'a, K>(
    objects: &'a [Arc<K>],
    metadata_of: impl Fn(&'a K) -> &'a ObjectMeta,
) -> impl Iterator<Item = (&'a str, &'a K)> {
    objects
        .iter()
        .map(move |object| (metadata::name(metadata_of(object)), object.as_ref()))
}

//! The observed objects of the names that we would give: their owners, and the state of the workload among them.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::labels;
use plan::{Delete, Kind, Manifest, ObjectRef, Propagation, Write};

use crate::metadata;
use crate::observed::Workloads;

/// The object whose pods serve or tune.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Workload<'a> {
    Deployment(&'a Deployment),
    StatefulSet(&'a StatefulSet),
    Job(&'a Job),
}

impl<'a> Workload<'a> {
    pub(crate) fn metadata(self) -> &'a ObjectMeta {
        match self {
            Self::Deployment(object) => &object.metadata,
            Self::StatefulSet(object) => &object.metadata,
            Self::Job(object) => &object.metadata,
        }
    }

    /// The spec of the pods.
    pub(crate) fn pod_spec(self) -> Option<&'a PodSpec> {
        let template = match self {
            Self::Deployment(object) => &object.spec.template,
            Self::StatefulSet(object) => &object.spec.template,
            Self::Job(object) => &object.spec.as_ref()?.template,
        };
        template.spec.as_ref()
    }

    /// Number of pods that the workload runs, as anybody may have set it.
    pub(crate) fn replicas(self) -> u32 {
        let replicas = match self {
            Self::Deployment(object) => object.spec.replicas,
            Self::StatefulSet(object) => object.spec.replicas,
            Self::Job(_) => None,
        };
        replicas.map_or(1, |replicas| u32::try_from(replicas).unwrap_or_default())
    }

    /// Returns the image with the weights, if pods mount one.
    pub(crate) fn weights_image(self) -> Option<&'a str> {
        let template = match self {
            Self::Deployment(object) => &object.spec.template,
            Self::StatefulSet(object) => &object.spec.template,
            Self::Job(_) => return None,
        };
        render::weights_image(template.spec.as_ref()?)
    }

    fn annotated_nodes(self) -> Option<u32> {
        metadata::annotation(self.metadata(), labels::NODE_COUNT)?
            .parse()
            .ok()
            .filter(|nodes| *nodes > 0)
    }

    /// Number of nodes that the workload states. A user may have written any number: see [`crate::node_count`].
    pub(crate) fn nodes(self) -> u32 {
        self.annotated_nodes().unwrap_or_else(|| self.replicas().max(1))
    }

    /// Returns true if all replicas are ready, as of our last write.
    pub(crate) fn is_serving(self) -> bool {
        let generation = self.metadata().generation.unwrap_or_default();
        let (seen, ready) = match self {
            Self::Deployment(object) => object
                .status
                .as_ref()
                .map(|s| (s.observed_generation, s.available_replicas)),
            Self::StatefulSet(object) => object
                .status
                .as_ref()
                .map(|s| (s.observed_generation, s.ready_replicas)),
            Self::Job(_) => None,
        }
        .unwrap_or_default();
        seen.unwrap_or_default() >= generation
            && i64::from(ready.unwrap_or_default()) >= i64::from(self.replicas().max(1))
    }

    /// Returns true if all replicas are ready, and of the present template.
    ///
    /// After a change of the template, the pods of the last one count as ready for a while.
    pub(crate) fn is_rolled_out(self) -> bool {
        let (all, updated) = match self {
            Self::Deployment(object) => object.status.as_ref().map(|s| (s.replicas, s.updated_replicas)),
            Self::StatefulSet(object) => object
                .status
                .as_ref()
                .map(|s| (Some(s.replicas), s.updated_replicas)),
            Self::Job(_) => None,
        }
        .unwrap_or_default();
        let is_wanted =
            |replicas: Option<i32>| u32::try_from(replicas.unwrap_or_default()) == Ok(self.replicas());
        self.is_serving() && is_wanted(all) && is_wanted(updated)
    }

    /// Returns true if the manifest is of the same kind.
    pub(crate) fn is_like(self, manifest: &Manifest) -> bool {
        let kind = match self {
            Self::Deployment(_) => Kind::Deployment,
            Self::StatefulSet(_) => Kind::StatefulSet,
            Self::Job(_) => Kind::Job,
        };
        manifest.kind() == kind
    }

    /// Returns true if a server is ready, of whichever template. The pods of a StatefulSet are one server.
    pub(crate) fn has_ready_server(self) -> bool {
        match self {
            Self::Deployment(object) => object.status.as_ref().is_some_and(|status| {
                let counts = [status.ready_replicas, status.available_replicas];
                counts.into_iter().flatten().any(|count| count > 0)
            }),
            Self::StatefulSet(object) => {
                let ready = object.status.as_ref().and_then(|status| status.ready_replicas);
                i64::from(ready.unwrap_or_default()) >= i64::from(self.replicas().max(1))
            }
            Self::Job(_) => false,
        }
    }

    /// Returns true if a server is ready, and all pods are of the present template.
    pub(crate) fn has_updated_server(self) -> bool {
        let Self::Deployment(object) = self else {
            return self.is_rolled_out();
        };
        let generation = object.metadata.generation.unwrap_or_default();
        self.has_ready_server()
            && object.status.as_ref().is_some_and(|status| {
                status.observed_generation.unwrap_or_default() >= generation
                    && status.updated_replicas == status.replicas
            })
    }

    /// Returns true if the workload controls the pod: directly, or a Deployment through one of its ReplicaSets.
    ///
    /// ReplicaSets are not watched, so those of a Deployment are known by their name.
    pub(crate) fn controls(self, pod: &ObjectMeta) -> bool {
        let own = self.metadata();
        metadata::controller(pod).is_some_and(|owner| match self {
            _ if Some(&owner.uid) == own.uid.as_ref() => true,
            Self::Deployment(_) => {
                let suffix = owner.name.strip_prefix(metadata::name(own));
                owner.kind == "ReplicaSet" && suffix.is_some_and(|rest| rest.starts_with('-'))
            }
            Self::StatefulSet(_) | Self::Job(_) => false,
        })
    }

    /// The Job, where the workload is one.
    pub(crate) fn job(self) -> Option<&'a Job> {
        match self {
            Self::Job(job) => Some(job),
            Self::Deployment(_) | Self::StatefulSet(_) => None,
        }
    }
}

/// The live workload of the Workspace with this UID. One that we created is preferred to one of an earlier version.
pub(crate) fn current<'a>(observed: &'a Workloads, workspace_uid: &str) -> Option<Workload<'a>> {
    let all = [
        observed.deployment.as_deref().map(Workload::Deployment),
        observed.stateful_set.as_deref().map(Workload::StatefulSet),
        observed.job.as_deref().map(Workload::Job),
    ];
    let own = all.into_iter().flatten().filter(|workload| {
        let object = workload.metadata();
        let owner = metadata::controller(object);
        metadata::is_live(object) && owner.is_some_and(|owner| owner.uid == workspace_uid)
    });
    own.min_by_key(|workload| workload.annotated_nodes().is_none())
}

/// Progress of a tuning Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobProgress {
    Absent,
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl JobProgress {
    /// Progress of a Job. `has_begun` says whether a container of its pod runs or has run.
    ///
    /// The number of ready pods alone does not say it. The steps before the last are init containers, and a pod is not
    /// ready while they run.
    pub(crate) fn of(job: &Job, has_begun: bool) -> Self {
        let absent = JobStatus::default();
        Self::of_status(job.status.as_ref().unwrap_or(&absent), has_begun)
    }

    // The Job's own conditions decide: a pod that failed and was replaced does not fail the tuning.
    fn of_status(status: &JobStatus, has_begun: bool) -> Self {
        let is = |kind: &str| {
            let conditions = status.conditions.iter().flatten();
            conditions
                .into_iter()
                .any(|condition| condition.type_ == kind && condition.status == "True")
        };
        match () {
            () if is("Failed") || is("FailureTarget") => Self::Failed,
            () if is("Complete") || is("SuccessCriteriaMet") => Self::Succeeded,
            () if has_begun || status.ready.unwrap_or_default() > 0 => Self::Running,
            () => Self::Pending,
        }
    }

    /// Returns true if the Job has ended.
    pub(crate) fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// An observed object of a name that we would give.
#[derive(Debug)]
pub(crate) struct NamedObject<'a> {
    pub(crate) kind: Kind,
    pub(crate) metadata: &'a ObjectMeta,
}

impl NamedObject<'_> {
    /// Returns true if the reference names this object.
    pub(crate) fn is(&self, target: &ObjectRef) -> bool {
        target.kind == self.kind && Some(&target.name) == self.metadata.name.as_ref()
    }

    /// Returns true if the object's pods serve or tune.
    pub(crate) fn is_workload(&self) -> bool {
        is_workload(self.kind)
    }

    /// The deletion of the object, whatever happens to it until the request arrives.
    pub(crate) fn delete(&self) -> Write {
        Write::Delete(self.deletion())
    }

    /// The deletion of an object that other settings may want again.
    pub(crate) fn delete_unless_changed(&self) -> Write {
        Write::Delete(Delete {
            resource_version: self.metadata.resource_version.clone(),
            ..self.deletion()
        })
    }

    fn deletion(&self) -> Delete {
        Delete {
            target: ObjectRef {
                kind: self.kind,
                namespace: self.metadata.namespace.clone(),
                name: self.metadata.name.clone().unwrap_or_default(),
            },
            uid: self.metadata.uid.clone().unwrap_or_default(),
            resource_version: None,
            propagation: Propagation::Background,
            grace_seconds: None,
        }
    }
}

/// All observed objects of the names that we would give, in a fixed order.
pub(crate) fn named(observed: &Workloads) -> Vec<NamedObject<'_>> {
    let Workloads {
        deployment,
        stateful_set,
        job,
        service,
        headless_service,
        tuning_config,
        network_policy,
    } = observed;
    let all = [
        (
            Kind::Deployment,
            deployment.as_ref().map(|object| &object.metadata),
        ),
        (
            Kind::StatefulSet,
            stateful_set.as_ref().map(|object| &object.metadata),
        ),
        (Kind::Job, job.as_ref().map(|object| &object.metadata)),
        (Kind::Service, service.as_ref().map(|object| &object.metadata)),
        (
            Kind::Service,
            headless_service.as_ref().map(|object| &object.metadata),
        ),
        (
            Kind::ConfigMap,
            tuning_config.as_ref().map(|object| &object.metadata),
        ),
        (
            Kind::NetworkPolicy,
            network_policy.as_ref().map(|object| &object.metadata),
        ),
    ];
    let named = |(kind, metadata): (Kind, Option<_>)| {
        let metadata = metadata?;
        Some(NamedObject { kind, metadata })
    };
    all.into_iter().filter_map(named).collect()
}

/// Returns true for the kinds whose pods serve or tune.
pub(crate) fn is_workload(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::StatefulSet | Kind::Job)
}

//! The objects of a Workspace's namespace that have the names we would give: whose they are and how they do.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use plan::drift::{apply_if_needed, is_within};
use plan::{Delete, Kind, Manifest, ObjectRef, Propagation, Write};
use serde_json::Value;

use crate::finding::Problem;
use crate::observed::Workloads;
use crate::subject::{Subject, is_live};
use crate::validate::Wanted;

/// What serves or tunes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Workload<'a> {
    Deployment(&'a Deployment),
    StatefulSet(&'a StatefulSet),
    Job(&'a Job),
}

impl<'a> Workload<'a> {
    fn metadata(self) -> &'a ObjectMeta {
        match self {
            Self::Deployment(object) => &object.metadata,
            Self::StatefulSet(object) => &object.metadata,
            Self::Job(object) => &object.metadata,
        }
    }

    fn replicas(self) -> i32 {
        match self {
            Self::Deployment(object) => object.spec.replicas.unwrap_or(1),
            Self::StatefulSet(object) => object.spec.replicas.unwrap_or(1),
            Self::Job(_) => 1,
        }
    }

    fn annotated_nodes(self) -> Option<u32> {
        self.metadata()
            .annotations
            .as_ref()?
            .get(labels::NODE_COUNT)?
            .parse()
            .ok()
            .filter(|nodes| *nodes > 0)
    }

    /// Nodes that it was made for.
    pub(crate) fn nodes(self) -> u32 {
        self.annotated_nodes()
            .unwrap_or_else(|| u32::try_from(self.replicas()).unwrap_or(1).max(1))
    }

    /// The whole model answers, and the controller of the kind has seen what we wrote last.
    pub(crate) fn serves(self) -> bool {
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
        seen.unwrap_or_default() >= generation && ready.unwrap_or_default() >= self.replicas().max(1)
    }
}

/// The Workspace's own workload, if there is one that is not going away. One that we made is preferred to one
/// that an earlier version left.
pub(crate) fn current<'a>(subject: &Subject<'a>) -> Option<Workload<'a>> {
    let Workloads {
        deployment,
        stateful_set,
        job,
        ..
    } = &subject.observed.workloads;
    let all = [
        deployment.as_deref().map(Workload::Deployment),
        stateful_set.as_deref().map(Workload::StatefulSet),
        job.as_deref().map(Workload::Job),
    ];
    let own = all.into_iter().flatten().filter(|workload| {
        let metadata = workload.metadata();
        subject.owns(metadata) && is_live(metadata)
    });
    own.min_by_key(|workload| workload.annotated_nodes().is_none())
}

/// An observed object of a name we would give.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    pub(crate) kind: Kind,
    pub(crate) metadata: &'a ObjectMeta,
}

impl Named<'_> {
    /// What names it.
    fn target(&self) -> ObjectRef {
        ObjectRef {
            kind: self.kind,
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// Its deletion.
    pub(crate) fn delete(&self) -> Write {
        Write::Delete(Delete {
            target: self.target(),
            uid: self.metadata.uid.clone().unwrap_or_default(),
            propagation: Propagation::Background,
            grace_seconds: None,
        })
    }
}

/// All observed objects of names we would give, in a fixed order.
pub(crate) fn named<'a>(subject: &Subject<'a>) -> Vec<Named<'a>> {
    let all = &subject.observed.workloads;
    let found = [
        (
            Kind::Deployment,
            all.deployment.as_ref().map(|object| &object.metadata),
        ),
        (
            Kind::StatefulSet,
            all.stateful_set.as_ref().map(|object| &object.metadata),
        ),
        (Kind::Job, all.job.as_ref().map(|object| &object.metadata)),
        (Kind::Service, all.service.as_ref().map(|object| &object.metadata)),
        (
            Kind::Service,
            all.headless_service.as_ref().map(|object| &object.metadata),
        ),
        (
            Kind::ConfigMap,
            all.tuning_config.as_ref().map(|object| &object.metadata),
        ),
    ];
    found
        .into_iter()
        .filter_map(|(kind, metadata)| {
            Some(Named {
                kind,
                metadata: metadata?,
            })
        })
        .collect()
}

/// No name that we are going to use belongs to somebody else.
pub(crate) fn check_names(subject: &Subject<'_>, wanted: &Wanted<'_>) -> Result<(), Problem> {
    let targets: Vec<ObjectRef> = match wanted {
        Wanted::Serving(serving) => serving.manifests(subject).iter().map(Manifest::target).collect(),
        Wanted::Tuning(tuned) => tuned.manifests(subject).iter().map(Manifest::target).collect(),
    };
    let is_wanted = |named: &Named<'_>| {
        targets
            .iter()
            .any(|target| target.kind == named.kind && Some(&target.name) == named.metadata.name.as_ref())
    };
    let foreign = named(subject)
        .into_iter()
        .find(|named| is_wanted(named) && !subject.owns(named.metadata));
    foreign.map_or(Ok(()), |named| Err(conflict(subject, &named)))
}

fn conflict(subject: &Subject<'_>, named: &Named<'_>) -> Problem {
    let (kind, name) = (
        named.kind.as_str(),
        named.metadata.name.as_deref().unwrap_or_default(),
    );
    let owner = named
        .metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true));
    let what = match owner {
        Some(owner) if owner.kind == Kind::Workspace.as_str() && owner.name == subject.name() => {
            format!("{kind} {name} belongs to an earlier Workspace of this name; it should go away by itself")
        }
        Some(owner) => format!("{kind} {name} belongs to {} {}", owner.kind, owner.name),
        None => format!("there is a {kind} {name} which this Workspace did not make"),
    };
    Problem::new(WorkspaceReason::NameConflict, what)
}

/// The writes that leave just these objects, the workload last in `manifests`.
///
/// A workload is made when its nodes are ready and kept in order from then on, as far as `may` allows the write. What
/// an earlier version left goes first, since it holds the GPUs.
pub(crate) fn writes(
    subject: &Subject<'_>,
    manifests: Vec<Manifest>,
    nodes_ready: bool,
    may: impl Fn(&Write) -> bool,
) -> Vec<Write> {
    let targets: Vec<ObjectRef> = manifests.iter().map(Manifest::target).collect();
    let (workload, rest): (Vec<Manifest>, Vec<Manifest>) = manifests
        .into_iter()
        .partition(|manifest| is_workload(manifest.kind()));
    let mut writes: Vec<Write> = rest
        .into_iter()
        .filter_map(|manifest| applied(subject, manifest))
        .collect();
    let own = named(subject)
        .into_iter()
        .filter(|named| subject.owns(named.metadata));
    let (kept, stale): (Vec<Named<'_>>, Vec<Named<'_>>) =
        own.partition(|named| targets.contains(&named.target()));
    let exists = kept.iter().any(|named| is_workload(named.kind));
    if !nodes_ready && !exists {
        return writes;
    }
    let workload = workload
        .into_iter()
        .filter_map(|manifest| applied(subject, manifest))
        .filter(may);
    let workload: Vec<Write> = workload.collect();
    let blocked = workload.is_empty() && !exists;
    if !blocked {
        writes.extend(
            stale
                .iter()
                .filter(|named| is_live(named.metadata))
                .map(Named::delete),
        );
    }
    if !stale.iter().any(|named| is_workload(named.kind)) {
        writes.extend(workload);
    }
    writes
}

fn is_workload(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::StatefulSet | Kind::Job)
}

/// The write that makes the observed object hold what we want; nothing while it is going away.
pub(crate) fn applied(subject: &Subject<'_>, manifest: Manifest) -> Option<Write> {
    let all = &subject.observed.workloads;
    let target = manifest.target();
    let going = |named: &Named<'_>| {
        named.kind == target.kind
            && named.metadata.name.as_ref() == Some(&target.name)
            && !is_live(named.metadata)
    };
    if named(subject).iter().any(going) {
        return None;
    }
    match manifest.kind() {
        Kind::Deployment => apply_if_needed(manifest, all.deployment.as_deref()),
        Kind::StatefulSet => apply_if_needed(manifest, all.stateful_set.as_deref()),
        Kind::Job => apply_if_needed(manifest, all.job.as_deref()),
        Kind::ConfigMap => apply_if_needed(manifest, all.tuning_config.as_deref()),
        Kind::Service if target.name == subject.name() => apply_if_needed(manifest, all.service.as_deref()),
        Kind::Service => apply_if_needed(manifest, all.headless_service.as_deref()),
        Kind::Workspace | Kind::Machine | Kind::NodeClaim | Kind::Node | Kind::Pod => None,
    }
}

/// The write changes what runs, not only its labels.
pub(crate) fn changes_spec(workload: Workload<'_>, write: &Write) -> bool {
    let Write::Apply(manifest) = write else {
        return false;
    };
    let observed = match workload {
        Workload::Deployment(object) => serde_json::to_value(&object.spec),
        Workload::StatefulSet(object) => serde_json::to_value(&object.spec),
        Workload::Job(object) => serde_json::to_value(&object.spec),
    };
    let wanted = manifest.to_value();
    let same = |observed: Value| wanted.get("spec").is_some_and(|spec| is_within(spec, &observed));
    !observed.is_ok_and(same)
}

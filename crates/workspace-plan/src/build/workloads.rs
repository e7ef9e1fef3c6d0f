//! Writes to the objects of the Workspace's namespace.

use k8s_openapi::api::apps::v1::StatefulSetSpec;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kaito_api::labels;
use plan::drift::{apply_if_needed, is_within};
use plan::{Kind, Manifest, MergePatch, ObjectRef, Write};
use serde_json::{Value, json};

use crate::context::PlanContext;
use crate::desired::{Desired, DesiredWorkload};
use crate::metadata::{annotation, is_live};
use crate::rollout::Rollout;
use crate::weights_volume;
use crate::workload::{NamedObject, Workload, is_workload};

/// Plans the writes that leave just these objects.
///
/// A workload is created when its nodes are ready and recorded, and its drift is repaired from then on. A stale workload of an
/// earlier version is deleted first, since it holds the GPUs.
pub(super) fn writes(
    context: &PlanContext<'_>,
    desired: &Desired<'_>,
    rollout: Rollout,
    may_create: bool,
) -> Vec<Write> {
    let targets: Vec<ObjectRef> = rollout.manifests.iter().map(Manifest::target).collect();
    let (workload, rest): (Vec<Manifest>, Vec<Manifest>) = rollout
        .manifests
        .into_iter()
        .partition(|manifest| is_workload(manifest.kind()));
    let apply = |manifest| apply(context, manifest);
    let mut writes: Vec<Write> = rest.into_iter().filter_map(apply).collect();
    let own = context
        .named
        .iter()
        .filter(|object| context.owns(object.metadata));
    let lost = weights_volume::is_lost(context) && desired.update_blocked.is_none();
    let replaced = lost || workload.first().is_some_and(|set| is_replaced(context, set));
    let is_current = |object: &&NamedObject<'_>| {
        targets.iter().any(|target| object.is(target)) && !(replaced && object.kind == Kind::StatefulSet)
    };
    let (current, stale): (Vec<&NamedObject<'_>>, Vec<&NamedObject<'_>>) = own.partition(is_current);
    let exists = current.iter().any(|object| object.is_workload());
    if !may_create && !exists {
        return writes;
    }
    let workload = workload.into_iter().filter_map(apply);
    let workload: Vec<Write> = workload
        .filter_map(|write| {
            if !rollout.keeps_template && may_write(context, desired, &write) {
                Some(expecting(rollout.expected_version.clone(), write))
            } else {
                put_back_size(context, &write)
            }
        })
        .collect();
    let is_blocked = workload.is_empty() && !exists && !lost;
    if !is_blocked && rollout.deletes_stale {
        let live = stale.iter().filter(|object| is_live(object.metadata));
        writes.extend(live.map(|object| object.delete_unless_changed()));
    }
    if !stale.iter().any(|object| object.is_workload()) {
        writes.extend(rollout.revisions);
        let waits = !exists && weights_volume::awaits_earlier(context);
        writes.extend(workload.into_iter().filter(|_| !waits));
    }
    writes
}

/// Returns true if the StatefulSet must be deleted before it is as it should be: its volumes and its Service cannot be changed.
fn is_replaced(context: &PlanContext<'_>, wanted: &Manifest) -> bool {
    let (Manifest::StatefulSet(wanted), Some(observed)) =
        (wanted, context.observed.workloads.stateful_set.as_deref())
    else {
        return false;
    };
    wanted.spec.service_name != observed.spec.service_name || volumes(&wanted.spec) != volumes(&observed.spec)
}

/// Storage class and size of the volumes that a StatefulSet makes.
fn volumes(spec: &StatefulSetSpec) -> Vec<(Option<&str>, Option<&Quantity>)> {
    let templates = spec.volume_claim_templates.iter().flatten();
    let specs = templates.filter_map(|claim| claim.spec.as_ref());
    specs
        .map(|spec| {
            let requests = spec.resources.as_ref().and_then(|all| all.requests.as_ref());
            let size = requests.and_then(|all| all.get("storage"));
            (spec.storage_class_name.as_deref(), size)
        })
        .collect()
}

/// The apply with the version of the object that it depends on.
fn expecting(version: Option<String>, mut write: Write) -> Write {
    if let Write::Apply(manifest) = &mut write
        && version.is_some()
    {
        manifest.metadata_mut().resource_version = version;
    }
    write
}

/// Returns true if the workload may be written.
///
/// A running model is not moved to other nodes, and the spec of a Job is immutable.
fn may_write(context: &PlanContext<'_>, desired: &Desired<'_>, write: &Write) -> bool {
    match desired.workload {
        DesiredWorkload::Template(_) | DesiredWorkload::Inference(_) => desired.update_blocked.is_none(),
        DesiredWorkload::Tuning(_) => context.workload.is_none_or(|job| !changes_spec(job, write)),
    }
}

/// The patch that restores replicas and annotation of a workload whose other fields stay as they are.
fn put_back_size(context: &PlanContext<'_>, write: &Write) -> Option<Write> {
    let (Write::Apply(manifest), Some(workload)) = (write, context.workload) else {
        return None;
    };
    let replicas = match workload {
        Workload::Deployment(_) if manifest.kind() == Kind::Deployment => workload.replicas(),
        Workload::StatefulSet(_) if manifest.kind() == Kind::StatefulSet => workload.replicas(),
        Workload::Deployment(_) | Workload::StatefulSet(_) | Workload::Job(_) => return None,
    };
    let rendered = manifest.to_value();
    let nodes = rendered["metadata"]["annotations"][labels::NODE_COUNT].as_str()?;
    let wanted = rendered["spec"]["replicas"].as_u64()?;
    let metadata = workload.metadata();
    if u64::from(replicas) == wanted && annotation(metadata, labels::NODE_COUNT) == Some(nodes) {
        return None;
    }
    Some(Write::Patch(MergePatch {
        target: manifest.target(),
        resource_version: metadata.resource_version.clone()?,
        body: json!({
            "metadata": {"annotations": {labels::NODE_COUNT: nodes}},
            "spec": {"replicas": wanted},
        }),
    }))
}

/// The write that makes the observed object hold the manifest; `None` while that object is terminating.
fn apply(context: &PlanContext<'_>, manifest: Manifest) -> Option<Write> {
    let all = &context.observed.workloads;
    let target = manifest.target();
    let is_terminating = |object: &NamedObject<'_>| object.is(&target) && !is_live(object.metadata);
    if context.named.iter().any(is_terminating) {
        return None;
    }
    match manifest.kind() {
        Kind::Deployment => apply_if_needed(manifest, all.deployment.as_deref()),
        Kind::StatefulSet => apply_if_needed(manifest, all.stateful_set.as_deref()),
        Kind::Job => apply_if_needed(manifest, all.job.as_deref()),
        Kind::ConfigMap => apply_if_needed(manifest, all.tuning_config.as_deref()),
        Kind::NetworkPolicy => apply_if_needed(manifest, all.network_policy.as_deref()),
        Kind::Service if target.name == context.workspace().name() => {
            apply_if_needed(manifest, all.service.as_deref())
        }
        Kind::Service => apply_if_needed(manifest, all.headless_service.as_deref()),
        Kind::Workspace
        | Kind::Machine
        | Kind::NodeClaim
        | Kind::ControllerRevision
        | Kind::PersistentVolumeClaim
        | Kind::Node
        | Kind::Pod
        | Kind::Event => None,
    }
}

/// Returns true if the write changes the spec of the workload, not only its metadata.
fn changes_spec(workload: Workload<'_>, write: &Write) -> bool {
    let Write::Apply(manifest) = write else {
        return false;
    };
    let observed = match workload {
        Workload::Deployment(object) => serde_json::to_value(&object.spec),
        Workload::StatefulSet(object) => serde_json::to_value(&object.spec),
        Workload::Job(object) => serde_json::to_value(&object.spec),
    };
    let manifest = manifest.to_value();
    let is_same = |observed: Value| {
        manifest
            .get("spec")
            .is_some_and(|spec| is_within(spec, &observed))
    };
    !observed.is_ok_and(is_same)
}

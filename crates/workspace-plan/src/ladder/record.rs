//! The type that the nodes of a Workspace have, as its claims and its workload record it.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kaito_api::labels;
use plan::Manifest;

use crate::claims;
use crate::context::PlanContext;
use crate::metadata::{annotation, is_live};
use crate::rung::Rung;

/// The rung of what runs; `None` if nothing runs, or its type is not known.
pub(super) fn running<'a>(context: &PlanContext<'a>, rungs: &[&'a str]) -> Option<Rung<'a>> {
    context.workload?;
    let claimed = claims::instance_type(context).map(|(name, _)| name);
    let recorded = claimed.or_else(|| made_for(context))?;
    let asked = rungs.get(place(context, rungs, recorded)?)?;
    Some(Rung {
        asked,
        recorded: Some(recorded),
    })
}

/// The place of the live claims in the ladder, and their type.
pub(super) fn claimed<'a>(context: &PlanContext<'a>, rungs: &[&'a str]) -> Option<(usize, &'a str)> {
    let (name, is_live) = claims::instance_type(context)?;
    Some((place(context, rungs, name).filter(|_| is_live)?, name))
}

/// The rung of this name; without one, the first retired rung, for which another type is bought.
fn place(context: &PlanContext<'_>, rungs: &[&str], recorded: &str) -> Option<usize> {
    let is_retired = |rung: &&str| context.instance_type(rung)?.retired.as_ref();
    let named = rungs.iter().position(|rung| rung.eq_ignore_ascii_case(recorded));
    named.or_else(|| rungs.iter().position(|rung| is_retired(rung).is_some()))
}

/// Adds the type to the workload, the last of the manifests. It counts when all claims are lost while the model exists.
pub(crate) fn mark(manifests: &mut [Manifest], instance_type: &str) {
    if let Some(workload) = manifests.last_mut() {
        let annotations: &mut BTreeMap<String, String> =
            workload.metadata_mut().annotations.get_or_insert_default();
        annotations.insert(labels::MADE_FOR.to_owned(), instance_type.to_owned());
    }
}

/// The type that the newest revision of the workload was made for. A Job has no revision, so its own annotation counts.
fn made_for<'a>(context: &PlanContext<'a>) -> Option<&'a str> {
    let own = context.observed.revisions.iter().map(AsRef::as_ref);
    let own = own.filter(|revision: &&ControllerRevision| {
        context.owns(&revision.metadata) && is_live(&revision.metadata)
    });
    let recorded = own.filter_map(|revision| {
        let metadata = revision.data.0.get("workload")?.get("metadata")?;
        let made_for = metadata.get("annotations")?.get(labels::MADE_FOR)?.as_str()?;
        Some((revision.revision, made_for))
    });
    let newest = recorded.max_by_key(|(number, _)| *number);
    let of_job = || annotation(&context.job()?.metadata, labels::MADE_FOR);
    newest.map(|(_, made_for)| made_for).or_else(of_job)
}

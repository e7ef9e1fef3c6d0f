//! The launch that a claim asks for. It depends on the claim and the settings alone, so that a repeated request asks
//! for the same instance.

use std::collections::{BTreeMap, BTreeSet};

use cloudprovider::{LaunchLimits, LaunchSpec, tags};
use kaito_api::Claim;
use kaito_api::claim::ClaimRequirement;
use kaito_api::labels::{
    CAPACITY_TYPE, CREATION_TIMESTAMP, CREATION_TIMESTAMP_FORMAT, INSTANCE_TYPE, INSTANCE_TYPE_BETA,
    NODE_IMAGE_FAMILY, NODE_POOL, NODE_POOL_KAITO, OS, ZONE, is_kubelet_label,
};
use kaito_api::quantity::ceil_gib;
use kube::ResourceExt as _;

use crate::node::facts::taint_text;
use crate::settings::Settings;

/// Older spelling of [`ZONE`].
const ZONE_BETA: &str = "failure-domain.beta.kubernetes.io/zone";

/// Problem of a claim for which no instance can be launched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidClaim {
    /// An instance cannot have this name.
    #[error("name {name:?} must have 1 to {max} lower-case letters and digits, a letter first")]
    Name {
        /// Name of the claim.
        name: String,
        /// Most characters of a name.
        max: usize,
    },
    /// No instance type is asked for.
    #[error("no requirement names an instance type: add {INSTANCE_TYPE} In [<one type>]")]
    NoInstanceType,
    /// The requirements allow no instance type.
    #[error("the requirements on the instance type contradict each other")]
    NoInstanceTypeLeft,
    /// The requirements allow several instance types.
    #[error("the requirements leave several instance types ({0}): name exactly one")]
    SeveralInstanceTypes(String),
    /// The requirements exclude Linux.
    #[error("expected the requirement {OS} In [linux]")]
    NotLinux,
    /// The requirements exclude on-demand capacity.
    #[error("expected the requirement {CAPACITY_TYPE} In [on-demand]")]
    NotOnDemand,
    /// The requirements choose a zone.
    #[error("zones cannot be chosen: leave out the requirement on {ZONE}")]
    Zone,
    /// The disk size cannot be read.
    #[error("storage request {0:?} must be a quantity")]
    Storage(String),
    /// The cloud has no disk of this size.
    #[error("storage request {text} is {gib} GiB: a system disk must have {min} to {max} GiB")]
    DiskSize {
        /// The request.
        text: String,
        /// The request in GiB.
        gib: u64,
        /// Smallest disk.
        min: u32,
        /// Largest disk.
        max: u32,
    },
}

/// Builds the launch that a claim asks for.
///
/// # Errors
/// The problem of the claim.
pub fn launch_spec(claim: &Claim, settings: &Settings) -> Result<LaunchSpec, InvalidClaim> {
    let instance_type = instance_type(claim)?;
    check_os(claim)?;
    check_offering(claim)?;
    Ok(LaunchSpec {
        name: name(claim, &settings.launch_limits)?,
        disk_gib: disk_gib(claim, &settings.launch_limits)?,
        image_family: claim.annotations().get(NODE_IMAGE_FAMILY).cloned(),
        labels: labels(claim),
        taints: claim.taints().iter().map(taint_text).collect(),
        tags: tags::of_claim(claim.uid(), &settings.cluster_id),
        instance_type,
    })
}

fn name(claim: &Claim, limits: &LaunchLimits) -> Result<String, InvalidClaim> {
    let name = claim.name_any();
    let fits = name.len() <= limits.name_max
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if fits {
        Ok(name)
    } else {
        Err(InvalidClaim::Name {
            name,
            max: limits.name_max,
        })
    }
}

fn instance_type(claim: &Claim) -> Result<String, InvalidClaim> {
    let left = allowed(claim, &[INSTANCE_TYPE, INSTANCE_TYPE_BETA]).ok_or(InvalidClaim::NoInstanceType)?;
    let names: Vec<String> = left.into_iter().filter(|name| !name.is_empty()).collect();
    match &names[..] {
        [] => Err(InvalidClaim::NoInstanceTypeLeft),
        [one] => Ok(one.clone()),
        several => Err(InvalidClaim::SeveralInstanceTypes(several.join(", "))),
    }
}

/// Returns the values that the requirements on a label allow, under all of its names; `None` if no requirement lists any.
fn allowed(claim: &Claim, keys: &[&str]) -> Option<BTreeSet<String>> {
    let all = claim.requirements();
    let of_operator = |operator: &'static str| {
        all.iter()
            .filter(move |r| keys.contains(&r.key) && r.operator == operator)
            .map(|r| r.values.iter().cloned().collect::<BTreeSet<_>>())
    };
    let allowed = of_operator("In").reduce(|a, b| &a & &b)?;
    Some(of_operator("NotIn").fold(allowed, |a, b| &a - &b))
}

fn check_os(claim: &Claim) -> Result<(), InvalidClaim> {
    let is_other = allowed(claim, &[OS]).is_some_and(|systems| !systems.contains("linux"));
    if is_other {
        Err(InvalidClaim::NotLinux)
    } else {
        Ok(())
    }
}

/// Rejects a claim for spot capacity or for a zone: instances are on-demand, in a zone that the cloud chooses.
fn check_offering(claim: &Claim) -> Result<(), InvalidClaim> {
    let types = allowed(claim, &[CAPACITY_TYPE]);
    if types.is_some_and(|types| !types.contains("on-demand")) {
        return Err(InvalidClaim::NotOnDemand);
    }
    let chooses = |r: &ClaimRequirement<'_>| [ZONE, ZONE_BETA].contains(&r.key) && r.operator != "Exists";
    if claim.requirements().iter().any(chooses) {
        Err(InvalidClaim::Zone)
    } else {
        Ok(())
    }
}

fn disk_gib(claim: &Claim, limits: &LaunchLimits) -> Result<Option<u32>, InvalidClaim> {
    let storage = claim.requests().and_then(|requests| requests.get("storage"));
    let Some(text) = storage.map(|quantity| &quantity.0) else {
        return Ok(None);
    };
    let gib = ceil_gib(text).ok_or_else(|| InvalidClaim::Storage(text.clone()))?;
    match u32::try_from(gib) {
        Ok(0) => Ok(None),
        Ok(size) if limits.disk_gib.contains(&size) => Ok(Some(size)),
        _ => Err(InvalidClaim::DiskSize {
            text: text.clone(),
            gib,
            min: *limits.disk_gib.start(),
            max: *limits.disk_gib.end(),
        }),
    }
}

fn labels(claim: &Claim) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([(NODE_POOL.to_owned(), NODE_POOL_KAITO.to_owned())]);
    // The cloud passes these labels to the kubelet, which refuses to start with labels that it may not set. Registration
    // adds the others to the Node.
    let settable = claim.labels().iter().filter(|(key, _)| !is_kubelet_label(key));
    labels.extend(settable.map(|(key, value)| (key.clone(), value.clone())));
    if let Some(created) = &claim.metadata().creation_timestamp {
        let text = created.0.strftime(CREATION_TIMESTAMP_FORMAT).to_string();
        labels.insert(CREATION_TIMESTAMP.to_owned(), text);
    }
    labels
}

//! The launch that a claim asks for. It depends on the claim and the settings alone, so that a repeated request asks
//! for the same instance.

use std::collections::{BTreeMap, BTreeSet};

use cloudprovider::{LaunchLimits, LaunchSpec, tags};
use kaito_api::Claim;
use kaito_api::claim::ClaimRequirement;
use kaito_api::labels::{
    ARCH, CAPACITY_TYPE, CREATION_TIMESTAMP, CREATION_TIMESTAMP_FORMAT, INSTANCE_TYPE, INSTANCE_TYPE_BETA,
    NODE_IMAGE_FAMILY, NODE_POOL, NODE_POOL_KAITO, ON_DEMAND, OS, ZONE, is_kubelet_label,
};
use kaito_api::quantity::ceil_gib;
use kube::ResourceExt as _;

use crate::node::facts::taint_text;
use crate::node::labels::is_copied;
use crate::settings::Settings;

/// Older spellings of labels that a requirement may name.
const ZONE_DEPRECATED: &str = "failure-domain.beta.kubernetes.io/zone";
const OS_DEPRECATED: &str = "beta.kubernetes.io/os";
const ARCH_DEPRECATED: &str = "beta.kubernetes.io/arch";
/// Architecture of every Node.
const AMD64: &str = "amd64";

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
    /// The requirements exclude the architecture of the Nodes.
    #[error("expected the requirement {ARCH} In [amd64]")]
    NotAmd64,
    /// A requirement cannot be met, or its operator is not known.
    #[error("the requirement {0} cannot be met: the instance will not satisfy it")]
    Unmet(String),
    /// A requirement wants a choice of values.
    #[error("minValues {least} of the requirement on {key} must be at most 1: a claim has one instance")]
    MinValues {
        /// Label key.
        key: String,
        /// Least number of values.
        least: i64,
    },
    /// The cloud has no image of this family.
    #[error("unknown image family {family:?}: expected one of {known}")]
    ImageFamily {
        /// The family.
        family: String,
        /// Families that exist.
        known: String,
    },
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
    check_requirements(claim, &instance_type)?;
    Ok(LaunchSpec {
        name: name(claim, &settings.launch_limits)?,
        disk_gib: disk_gib(claim, &settings.launch_limits)?,
        image_family: image_family(claim, &settings.launch_limits)?,
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

/// Checks every requirement against the instance that would be launched. Instances are Linux, amd64 and on-demand, in a zone
/// that the cloud chooses.
///
/// `In` and `NotIn` on other labels are ignored, as Machines of upstream's controller carry such.
fn check_requirements(claim: &Claim, instance_type: &str) -> Result<(), InvalidClaim> {
    for requirement in claim.requirements() {
        if let Some(least) = requirement.min_values.filter(|least| *least > 1) {
            let key = requirement.key.to_owned();
            return Err(InvalidClaim::MinValues { key, least });
        }
        let (actual, problem) = match requirement.key {
            INSTANCE_TYPE | INSTANCE_TYPE_BETA => (Some(instance_type), None),
            OS | OS_DEPRECATED => (Some("linux"), Some(InvalidClaim::NotLinux)),
            ARCH | ARCH_DEPRECATED => (Some(AMD64), Some(InvalidClaim::NotAmd64)),
            CAPACITY_TYPE => (Some(ON_DEMAND), Some(InvalidClaim::NotOnDemand)),
            ZONE | ZONE_DEPRECATED if requirement.operator == "Exists" => continue,
            ZONE | ZONE_DEPRECATED => return Err(InvalidClaim::Zone),
            _ if matches!(requirement.operator, "In" | "NotIn") => continue,
            NODE_POOL => (Some(NODE_POOL_KAITO), None),
            other => (claim.labels().get(other).map(String::as_str), None),
        };
        if !is_met(&requirement, actual) {
            return Err(problem.unwrap_or_else(|| InvalidClaim::Unmet(text(&requirement))));
        }
    }
    Ok(())
}

/// Evaluates a requirement as Karpenter does. An operator that is not known is never met.
fn is_met(requirement: &ClaimRequirement<'_>, actual: Option<&str>) -> bool {
    let lists = || actual.is_some_and(|actual| requirement.values.iter().any(|value| value == actual));
    let compare = |holds: fn(i64, i64) -> bool| {
        let number = |text: Option<&str>| text?.parse::<i64>().ok();
        let bound = number(requirement.values.first().map(String::as_str));
        number(actual)
            .zip(bound)
            .is_some_and(|(actual, bound)| holds(actual, bound))
    };
    match requirement.operator {
        "In" => lists(),
        "NotIn" => !lists(),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compare(|actual, bound| actual > bound),
        "Lt" => compare(|actual, bound| actual < bound),
        "Gte" => compare(|actual, bound| actual >= bound),
        "Lte" => compare(|actual, bound| actual <= bound),
        _ => false,
    }
}

fn text(requirement: &ClaimRequirement<'_>) -> String {
    let values = requirement.values.join(", ");
    format!("{} {} [{values}]", requirement.key, requirement.operator)
}

fn image_family(claim: &Claim, limits: &LaunchLimits) -> Result<Option<String>, InvalidClaim> {
    let family = claim
        .annotations()
        .get(NODE_IMAGE_FAMILY)
        .map(|family| family.trim());
    let Some(family) = family.filter(|family| !family.is_empty()) else {
        return Ok(None);
    };
    let known = limits.image_families;
    if known.is_empty() || known.iter().any(|known| known.eq_ignore_ascii_case(family)) {
        return Ok(Some(family.to_owned()));
    }
    Err(InvalidClaim::ImageFamily {
        family: family.to_owned(),
        known: known.join(", "),
    })
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
    let settable = claim
        .labels()
        .iter()
        .filter(|(key, _)| is_copied(key) && !is_kubelet_label(key));
    labels.extend(settable.map(|(key, value)| (key.clone(), value.clone())));
    if let Some(created) = &claim.metadata().creation_timestamp {
        let text = created.0.strftime(CREATION_TIMESTAMP_FORMAT).to_string();
        labels.insert(CREATION_TIMESTAMP.to_owned(), text);
    }
    labels
}
